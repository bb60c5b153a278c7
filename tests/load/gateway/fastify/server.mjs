// @fastify/http-proxy as its README sets it up, without any further duty.
import proxy from "@fastify/http-proxy";
import Fastify from "fastify";

const server = Fastify();
server.register(proxy, { upstream: process.env.BENCH_UPSTREAM });
await server.listen({ host: "127.0.0.1", port: Number(process.env.BENCH_PORT) });
