/* Words for snapshots of the view. */

export function othersOf(one, me) {
  return one.members.filter((member) => member !== me);
}

/* The other user of a conversation of two; undefined in others. */
export function partnerOf(one, me) {
  return one.memberCount === 2 ? othersOf(one, me)[0] : undefined;
}

export function nameOf(one, me) {
  return one.title || othersOf(one, me).join(", ") || "Just you";
}

/* Who has read what the user wrote: seq of the last such message that each other user has read -> users. */
export function readersOf(one, me) {
  const readers = new Map();
  for (const user of othersOf(one, me)) {
    const last = one.messages.findLast(({ sender, seq }) => sender === me && seq <= (one.reads[user] ?? 0));
    if (last) readers.set(last.seq, [...(readers.get(last.seq) ?? []), user]);
  }
  return readers;
}

/* Whether everybody else has read up to `seq`. */
export function isRead(one, me, seq) {
  const others = othersOf(one, me);
  return others.length > 0 && others.every((user) => (one.reads[user] ?? 0) >= seq);
}
