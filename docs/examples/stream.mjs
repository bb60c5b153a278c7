// Follows a member's own events: an EventSource that can send a token. Works in Node 20 and in browsers, needs nothing else.
//
//   node stream.mjs http://127.0.0.1:8080 ACCESS_TOKEN [LAST_EVENT_ID]     prints one JSON object a line, for ever

const SILENCE_MILLISECONDS = 45_000; // three heartbeats: the line is dead, whatever it looks like

export class Refused extends Error {}

/**
 * Every event after `lastEventId` (without one: every event from now on), each once, whatever breaks meanwhile.
 * `accessToken` gives a token that holds: refresh it there when it is about to expire.
 */
export async function* follow(gateway, accessToken, lastEventId) {
  let pause = 2_000;
  for (;;) {
    try {
      for await (const event of once(gateway, await accessToken(), lastEventId)) {
        pause = event.retry ?? pause;
        if (event.type !== "end") yield event;
        lastEventId = event.id ?? lastEventId; // after the yield: what could not be handled comes again
      }
    } catch (error) {
      if (error instanceof Refused) throw error; // anything else: the line broke, go on after the last event
    }
    await new Promise((done) => setTimeout(done, pause));
  }
}

async function* once(gateway, token, lastEventId) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MILLISECONDS);
  const headers = { Accept: "text/event-stream", Authorization: `Bearer ${token}` };
  if (lastEventId) headers["Last-Event-ID"] = lastEventId;
  try {
    const answer = await fetch(`${gateway}/v1/stream`, { headers, signal: silence.signal });
    if (answer.status === 400 || answer.status === 401) throw new Refused((await answer.json()).code);
    if (!answer.ok) return; // 429, 503: later
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return; // what is left of an event that did not come whole comes again
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MILLISECONDS);
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const event = parse(text.slice(0, end));
        text = text.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    clearTimeout(timer);
    silence.abort(); // lets go of the connection when nobody wants the rest
  }
}

/** One block of the stream; undefined for a comment. */
function parse(block) {
  const event = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 2);
  }
  if (event.data === undefined) return undefined;
  const retry = event.retry && Number(event.retry);
  return { type: event.event, id: event.id, retry, data: JSON.parse(event.data) };
}

if (globalThis.process?.argv[1] === new URL(import.meta.url).pathname) {
  const [gateway, token, lastEventId] = process.argv.slice(2);
  for await (const event of follow(gateway, async () => token, lastEventId)) console.log(JSON.stringify(event));
}
