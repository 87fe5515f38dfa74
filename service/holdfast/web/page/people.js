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

/* Whether everybody else has read up to `seq`. */
export function isRead(one, me, seq) {
  const others = othersOf(one, me);
  return others.length > 0 && others.every((user) => (one.reads[user] ?? 0) >= seq);
}
