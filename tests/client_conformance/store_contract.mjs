/** What every store of the JavaScript client has to do. Each function is a test of its own; `next` makes the store of the next client. */

const message = (seq, body = "text", conversation_id = "c") => ({
  ...{ conversation_id, seq, message_id: String(seq).padStart(12, "0"), client_message_id: `k${seq}`, sender: "ben", body },
  sent_at: "2026-01-31T12:00:00.000Z",
});
const messages = (...seqs) => seqs.map((seq) => message(seq));
const at = (cursors, generation = "g") => ({ cursors, generation });
const send = (ref, error = null) => ({
  draft: {
    ...{ ref, conversationId: "c", clientMessageId: `id-${ref}`, body: ref, metadata: { n: 1 }, text: "{}", addedAt: 1 },
    ...{ frameBytes: 1, bodyBytes: 1, metadataBytes: 1 },
  },
  error,
});
const sorted = (value) =>
  value && typeof value === "object" && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort().map(([name, each]) => [name, sorted(each)]))
    : Array.isArray(value) ? value.map(sorted) : value;

/** @param {unknown} actual @param {unknown} expected */
function same(actual, expected) {
  const [was, wanted] = [actual, expected].map((value) => JSON.stringify(sorted(value)));
  if (was !== wanted) throw new Error(`expected ${wanted}, was ${was}`);
}
const seqsOf = (kept) => kept.map(({ seq }) => seq);
const ended = () => AbortSignal.abort();

/** Nothing: the client starts with what is new. */
export async function nothing_is_kept_at_first(next) {
  const store = await next();
  same(await store.load(), null);
  same(await store.messages("c"), []);
}

export async function next_client_goes_on_where_the_last_one_was(next) {
  const store = await next();
  await store.load();
  await store.save(at({ c: 2, d: 7 }), messages(1, 2));
  await store.save(at({ c: 3, d: 7 }), messages(3));
  const later = await next();
  same(await later.load(), at({ c: 3, d: 7 }));
  same(await later.messages("c"), messages(1, 2, 3));
  same(await later.messages("d"), []);
}

/** They come by `client.messages()`: a page that shows both would show them twice. */
export async function own_messages_of_a_client_are_not_given_to_it(next) {
  const store = await next();
  await store.load();
  await store.save(at({ c: 3 }), messages(1, 2, 3));
  const later = await next();
  await later.load();
  await later.save(at({ c: 4 }), messages(4));
  same(seqsOf(await later.messages("c")), [1, 2, 3]);
}

export async function messages_that_do_not_follow_replace_those_before(next) {
  const store = await next();
  await store.load();
  await store.save(at({ c: 3 }), messages(1, 2, 3));
  await store.save(at({ c: 10 }), messages(9, 10));
  const later = await next();
  await later.load();
  same(seqsOf(await later.messages("c")), [9, 10]);
}

/** Else there would be a gap between them and the first message of the next client. */
export async function position_that_jumps_keeps_no_messages(next) {
  const store = await next();
  await store.load();
  await store.save(at({ c: 3 }), messages(1, 2, 3));
  await store.save(at({ c: 5 }), []);
  const later = await next();
  same(await later.load(), at({ c: 5 }));
  same(await later.messages("c"), []);
}

export async function position_that_goes_back_is_taken(next) {
  const store = await next();
  await store.load();
  await store.save(at({ c: 3 }), messages(1, 2, 3));
  await store.save(at({ c: 1 }), []);
  const later = await next();
  same(await later.load(), at({ c: 1 }));
  same((await later.messages("c")).every(({ seq }) => seq <= 1), true);
}

/** The numbers of messages that were lost are given to others. */
export async function messages_before_a_reset_are_not_mixed_with_those_after(next) {
  const store = await next();
  await store.load();
  await store.save(at({ c: 3 }), messages(1, 2, 3));
  await store.save(at({ c: 4 }), [2, 3, 4].map((seq) => message(seq, "other")));
  const later = await next();
  await later.load();
  same((await later.messages("c")).map(({ seq, body }) => [seq, body]), [[2, "other"], [3, "other"], [4, "other"]]);
}

export async function messages_of_another_generation_are_not_kept(next) {
  const store = await next();
  await store.load();
  await store.save(at({ c: 3, d: 1 }), messages(1, 2, 3));
  await store.save(at({ c: 3, d: 1 }, "other"), []);
  const later = await next();
  same(await later.load(), at({ c: 3, d: 1 }, "other"));
  same(await later.messages("c"), []);
}

export async function conversation_that_was_left_is_forgotten(next) {
  const store = await next();
  await store.load();
  await store.save(at({ c: 3 }), messages(1, 2, 3));
  await store.save(at({}), []);
  const later = await next();
  same(await later.load(), at({}));
  same(await later.messages("c"), []);
}

export async function messages_of_a_long_conversation_are_bounded(next) {
  const store = await next();
  await store.load();
  for (let from = 1; from < 1_500; from += 300) {
    const some = Array.from({ length: 300 }, (_, n) => message(from + n));
    await store.save(at({ c: from + 299 }), some);
  }
  const later = await next();
  await later.load();
  const kept = seqsOf(await later.messages("c"));
  same(kept.length >= 200 && kept.length <= 1_000, true);
  same(kept, kept.map((_, n) => 1_500 - kept.length + 1 + n));
}

/** The application may be done with its last message, and a send be answered, a little later. */
export async function store_may_be_used_after_its_client_has_ended(next) {
  const store = await next();
  await store.load();
  await store.close?.();
  await store.save(at({ c: 2 }), messages(1, 2));
  await store.saveSends(new Map([["a", send("a")]]));
  const later = await next();
  same(await later.load(), at({ c: 2 }));
  same(seqsOf(await later.messages("c")), [1, 2]);
  same((await later.leftSends(new AbortController().signal)).length, 1);
}

export async function sends_without_an_answer_are_left_to_the_next_client(next) {
  const failed = { code: "forbidden", detail: "no", outcome: "refused", retryable: false };
  const store = await next();
  await store.load();
  await store.saveSends(new Map([["a", send("a")], ["b", send("b")]]));
  await store.saveSends(new Map([["a", null], ["b", send("b", failed)], ["c", send("c")]]));
  const later = await next();
  await later.load();
  const left = await later.leftSends(new AbortController().signal);
  same(left.sort((one, other) => one.draft.ref.localeCompare(other.draft.ref)), [send("b", failed), send("c")]);
}

export async function sends_are_left_until_they_are_answered(next) {
  const store = await next();
  await store.load();
  await store.saveSends(new Map([["a", send("a")]]));
  const second = await next();
  await second.load();
  same((await second.leftSends(new AbortController().signal)).length, 1);
  const third = await next();
  await third.load();
  same((await third.leftSends(new AbortController().signal)).length, 1);
  await third.saveSends(new Map([["a", null]]));
  const fourth = await next();
  await fourth.load();
  same(await fourth.leftSends(ended()).catch(() => []), []);
}
