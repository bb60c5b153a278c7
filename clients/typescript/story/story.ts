/**
 * The main job, played through the client alone: `node dist/story/story.js GATEWAY RPC TOKEN`.
 *
 * It prints one line of JSON with what came out, in wei, and ends with 1 at the first thing that is not as promised.
 */
import { type ProposalRead, ProblemError, type RewardRead, type TransactionRead, answerOf, connect } from "../src/index.js";
import { Person } from "./person.js";

const AMOUNT_CENTS = 100_000;
const REFUND_CENTS = 25_000;
const REWARD_WEI = 20n * 10n ** 18n;
const CLAWBACK_WEI = 5n * 10n ** 18n;

const [gateway, rpc, token] = process.argv.slice(2) as [string, string, string];
const anybody = connect(gateway, { patienceMs: 60_000 });

function require(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not as promised: ${what}`);
}

async function eventually<T>(what: string, check: () => Promise<T | undefined | false>): Promise<T> {
  for (const until = Date.now() + 60_000; Date.now() < until; await new Promise((done) => setTimeout(done, 200))) {
    const found = await check();
    if (found) return found;
  }
  throw new Error(`not so within 60 s: ${what}`);
}

async function balanceOf(person: Person): Promise<bigint> {
  const data = `0x70a08231${person.wallet.address.slice(2).toLowerCase().padStart(64, "0")}`;
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_call", params: [{ to: token, data }, "latest"] });
  const answer = await fetch(rpc, { method: "POST", body, headers: { "content-type": "application/json" } });
  return BigInt(((await answer.json()) as { result: string }).result);
}

async function hire(client: Person, talent: Person): Promise<string> {
  const job = await answerOf(
    client.api.POST("/v1/jobs", {
      body: {
        title: "Build a settlement engine",
        description: "Exact to the wei.",
        skills: ["python", "solidity"],
        kind: "fixed",
        rate_min_cents: 50_000,
        rate_max_cents: 200_000,
      },
    }),
  );
  await answerOf(client.api.POST("/v1/jobs/{job_id}/publish", { params: { path: { job_id: job.id } } }));
  const bid = await answerOf(
    talent.api.POST("/v1/jobs/{job_id}/bids", {
      params: { path: { job_id: job.id } },
      body: { rate_cents: AMOUNT_CENTS, cover_letter: "Mine." },
    }),
  );
  const offer = await answerOf(
    client.api.POST("/v1/bids/{bid_id}/offers", { params: { path: { bid_id: bid.id } }, body: { message: "Welcome." } }),
  );
  const accepted = await answerOf(
    talent.api.POST("/v1/offers/{offer_id}/accept", { params: { path: { offer_id: offer.id } } }),
  );
  require(accepted.engagement_id !== null, "the accepted offer is an engagement");
  return accepted.engagement_id as string;
}

async function invoiceAndPay(client: Person, talent: Person, engagement: string): Promise<TransactionRead> {
  const invoice = await answerOf(
    talent.api.POST("/v1/engagements/{engagement_id}/invoices", {
      params: { path: { engagement_id: engagement } },
      body: { lines: [{ description: "The engine", amount_cents: AMOUNT_CENTS }] },
    }),
  );
  const path = { invoice_id: invoice.id };
  const seen = await answerOf(client.api.GET("/v1/invoices/{invoice_id}", { params: { path } }));
  const figures = [seen.amount_cents, seen.client_fee_cents, seen.talent_fee_cents, seen.total_cents];
  require(`${figures}` === `${[AMOUNT_CENTS, AMOUNT_CENTS / 10, 0, AMOUNT_CENTS + AMOUNT_CENTS / 10]}`, `the invoice says ${figures}`);
  await answerOf(client.api.POST("/v1/invoices/{invoice_id}/approve", { params: { path } }));
  const header = { "Idempotency-Key": crypto.randomUUID() }; // who pays says which payment it is
  const payment = await answerOf(
    client.api.POST("/v1/invoices/{invoice_id}/payments", { params: { path, header }, body: { method: "sandbox" } }),
  );
  require(payment.status === "succeeded" && !!payment.transaction_id, `the payment is ${payment.status}`);
  const transaction_id = payment.transaction_id as string;
  return answerOf(client.api.GET("/v1/transactions/{transaction_id}", { params: { path: { transaction_id } } }));
}

function mintedReward(person: Person, transaction: TransactionRead): Promise<RewardRead> {
  return eventually(`${person.name}'s reward is minted`, async () => {
    const page = await answerOf(person.api.GET("/v1/rewards", { params: { query: { limit: 100 } } }));
    return page.items.find((reward) => reward.transaction_id === transaction.id && reward.status === "minted");
  });
}

async function booksAgree(block: number): Promise<string> {
  return eventually("ledger and chain agree at a final block", async () => {
    const audit = await answerOf(anybody.GET("/v1/audit/supply"));
    return (audit.as_of_block ?? -1) >= block && audit.difference_wei === "0" && audit.difference_wei;
  });
}

async function delegate(person: Person): Promise<void> {
  const address = person.wallet.address;
  const query = { delegator: address, delegatee: address };
  const typed = await answerOf(anybody.GET("/v1/delegations/typed-data", { params: { query } }));
  const { nonce, expiry } = typed.message as { nonce: number; expiry: number };
  const signature = await person.sign(typed);
  await answerOf(anybody.POST("/v1/delegations", { body: { ...query, nonce, expiry, signature } }));
  await eventually(`${person.name} has votes`, async () => {
    const power = await answerOf(anybody.GET("/v1/voting-power/{address}", { params: { path: { address } } }));
    return BigInt(power.votes_wei) === REWARD_WEI;
  });
}

async function vote(ada: Person, ben: Person): Promise<string[]> {
  await Promise.all([delegate(ada), delegate(ben)]);
  const proposal = await answerOf(
    ada.api.POST("/v1/proposals", {
      body: {
        title: "Raise the connector reward",
        body: "From 1 % to 1.5 % of each transaction.",
        proposer: ada.wallet.address,
        actions: [{ kind: "parameter", name: "connector_reward_bps", value: 150 }],
      },
    }),
  );
  const path = { proposal_id: proposal.id };
  const has = (...statuses: ProposalRead["status"][]) =>
    eventually(`the proposal is ${statuses}`, async () => {
      const seen = await answerOf(anybody.GET("/v1/proposals/{proposal_id}", { params: { path } }));
      return statuses.includes(seen.status);
    });
  await has("open");
  for (const [person, choice] of [[ada, "for"], [ben, "against"]] as const) {
    const voter = person.wallet.address;
    const ballot = await answerOf(
      anybody.GET("/v1/proposals/{proposal_id}/ballot", { params: { path, query: { voter, choice } } }),
    );
    const body = { voter, choice, reason: ballot.message["reason"] as string, signature: await person.sign(ballot) };
    const cast = await answerOf(anybody.POST("/v1/proposals/{proposal_id}/votes", { params: { path }, body }));
    require(BigInt(cast.weight_wei) === REWARD_WEI, `${person.name}'s weight is ${cast.weight_wei}`);
  }
  await has("passed", "rejected");
  const results = await answerOf(anybody.GET("/v1/proposals/{proposal_id}/results", { params: { path } }));
  require(results.for_wei === `${REWARD_WEI}` && results.against_wei === `${REWARD_WEI}`, "20 BTRST each way");
  return [results.for_wei, results.against_wei];
}

async function refund(talent: Person, connectors: Person[], transaction: TransactionRead): Promise<void> {
  await answerOf(
    talent.api.POST("/v1/transactions/{transaction_id}/refunds", {
      params: { path: { transaction_id: transaction.id }, header: { "Idempotency-Key": crypto.randomUUID() } },
      body: { amount_cents: REFUND_CENTS, reason: "A quarter was not delivered." },
    }),
  );
  for (const person of connectors) {
    await eventually(`${person.name}'s refund line`, async () => {
      const lines = await answerOf(person.api.GET("/v1/rewards/ledger", { params: { query: { limit: 100 } } }));
      const refunds = lines.items.filter((line) => line.code === "refund").map((line) => BigInt(line.amount_wei));
      return refunds.length === 1 && refunds[0] === -CLAWBACK_WEI;
    });
  }
}

async function refusalsAreTyped(stranger: Person, transaction: TransactionRead): Promise<void> {
  const path = { transaction_id: transaction.id };
  try {
    await answerOf(stranger.api.GET("/v1/transactions/{transaction_id}", { params: { path } }));
  } catch (error) {
    require(error instanceof ProblemError && error.status === 404 && error.problem.code === "not_found", `${error}`);
    return;
  }
  throw new Error("a stranger saw a transaction");
}

async function play(): Promise<object> {
  const ada = await Person.register(gateway, "Ada", "connector");
  const ben = await Person.register(gateway, "Ben", "connector");
  const client = await Person.register(gateway, "Clio", "client", ada.member.referral_code);
  const talent = await Person.register(gateway, "Tariq", "talent", ben.member.referral_code);
  await Promise.all([ada.linkWallet(), ben.linkWallet()]);
  const engagement = await hire(client, talent);
  const transaction = await invoiceAndPay(client, talent, engagement);
  const rewards = [await mintedReward(ada, transaction), await mintedReward(ben, transaction)];
  for (const [person, reward] of [[ada, rewards[0]], [ben, rewards[1]]] as const) {
    const trace = await answerOf(
      person.api.GET("/v1/rewards/{reward_id}/trace", { params: { path: { reward_id: reward?.id ?? "" } } }),
    );
    require(trace.steps.length >= 4, `the trace has ${trace.steps.length} steps`);
    require((await balanceOf(person)) === REWARD_WEI, `${person.name}'s wallet holds 20 BTRST`);
  }
  const difference_wei = await booksAgree(Math.max(...rewards.map((reward) => reward.block_number ?? 0)));
  await refusalsAreTyped(ben, transaction);
  const [for_wei, against_wei] = await vote(ada, ben);
  await refund(talent, [ada, ben], transaction);
  const following = await invoiceAndPay(client, talent, engagement);
  for (const person of [ada, ben]) {
    const reward = await mintedReward(person, following);
    require(BigInt(reward.minted_wei) === REWARD_WEI - CLAWBACK_WEI, `${person.name} was paid ${reward.minted_wei}`);
  }
  const balances_wei = [`${await balanceOf(ada)}`, `${await balanceOf(ben)}`];
  return { difference_wei, for_wei, against_wei, balances_wei };
}

play().then(
  (found) => console.log(JSON.stringify(found)),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
