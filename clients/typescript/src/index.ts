/**
 * The BTRST Network's API for TypeScript: every path, parameter, body and answer is typed from the OpenAPI document.
 *
 * Amounts are integers: cents as `number`, wei as decimal strings (`BigInt(reward.minted_wei)`).
 */
import createClient, { type Client } from "openapi-fetch";
import type { Problem, paths } from "./schema.js";

export type * from "./schema.js";

export interface Options {
  /** The access token, asked for before each request; none for what needs none. */
  token?: () => string | undefined | Promise<string | undefined>;
  /** How long a request that can be sent again is, while the network is away. In milliseconds; 10,000 unless told. */
  patienceMs?: number;
  /** What sends a request; the platform's `fetch` unless told. */
  fetch?: (request: Request) => Promise<Response>;
}

/** The network's answer when it did not do what was asked. Source: RFC 9457. */
export class ProblemError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(`${status} ${problem.code}: ${problem.detail}`);
    this.name = "ProblemError";
  }
}

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 2_000;

/**
 * A client of the gateway at `baseUrl`.
 *
 * A POST with a token carries an `Idempotency-Key`, so it can be sent again as safely as a GET: the network does the work
 * once. Both are, while it answers 503 or nothing, until the patience ends.
 */
export function connect(baseUrl: string, options: Options = {}): Client<paths> {
  const client = createClient<paths>({ baseUrl, fetch: (request) => patiently(request, options) });
  client.use({
    async onRequest({ request }) {
      const token = await options.token?.();
      if (token) {
        request.headers.set("Authorization", `Bearer ${token}`);
        if (request.method === "POST" && !request.headers.has("Idempotency-Key")) {
          request.headers.set("Idempotency-Key", crypto.randomUUID());
        }
      }
      return request;
    },
  });
  return client;
}

async function patiently(request: Request, options: Options): Promise<Response> {
  const send = options.fetch ?? ((one: Request) => fetch(one));
  const again = ["GET", "HEAD"].includes(request.method) || request.headers.has("Idempotency-Key");
  const giveUpAt = Date.now() + (again ? (options.patienceMs ?? 10_000) : 0);
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    const isLast = Date.now() + pause > giveUpAt;
    try {
      const answer = await send(isLast ? request : request.clone());
      if (isLast || answer.status !== 503) return answer;
      await answer.body?.cancel();
    } catch (error) {
      if (isLast) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** What a call gave. Throws: ProblemError, or what `fetch` throws when there is no answer. */
export async function answerOf<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok) return data as T;
  throw new ProblemError(response.status, asProblem(error, response));
}

function asProblem(error: unknown, response: Response): Problem {
  if (typeof error === "object" && error !== null && "code" in error) return error as Problem;
  const detail = "The answer is no problem document: a server in between may have sent it";
  const path = new URL(response.url).pathname;
  return { type: "about:blank", title: response.statusText, status: response.status, code: "unknown", detail, instance: path, request_id: "" };
}
