/* What this tab knows: conversations, their messages, who read what, who types, who is there.

   Frames go in, `onChange` comes out; no DOM, no socket. A conversation's cursor moves only by message, truncated and reset,
   and lives with the messages that it stands for. Messages are kept by seq: the same one by another path changes nothing. */

const SETTLED_AFTER_MS = 1_500; // a first message follows its conversation sooner than that
const KEPT_MESSAGES = 1_000; // per conversation; older ones are paged again when somebody scrolls up

export class State {
  conversations = new Map();
  presence = new Map();
  degraded = new Set();
  limits = { body_bytes: 16_384, indicator_members: 100, page_size: 200 };
  hasSynced = false;
  hasListed = false;

  /* onStale(id): the conversation should be fetched again. */
  constructor({ me, onChange, onStale, onMessage }) {
    Object.assign(this, { me, onChange, onStale, onMessage });
  }

  apply(frame) {
    this[`on_${frame.type}`]?.(frame);
    this.onChange();
  }

  /* What to resume from: null before the first `synced`, when there is nothing to miss yet. */
  cursors() {
    if (!this.hasSynced) return null;
    return Object.fromEntries([...this.conversations.values()].filter((one) => one.cursor !== null).map((one) => [one.id, one.cursor]));
  }

  ordered() {
    return [...this.conversations.values()].filter((one) => one.isKnown).sort((a, b) => b.activeAt - a.activeAt || (a.id < b.id ? -1 : 1));
  }

  others(conversation) {
    return conversation.members.filter((member) => member !== this.me);
  }

  name(conversation) {
    return conversation.title || this.others(conversation).join(", ") || "Just you";
  }

  head(conversation) {
    return Math.max(conversation.cursor ?? 0, conversation.last?.seq ?? 0);
  }

  unread(conversation) {
    return Math.max(0, this.head(conversation) - (conversation.reads.get(this.me) ?? 0));
  }

  /* Whether `last` is not the last message: what a summary says of it may be older than the conversation's head. */
  isBehind(conversation) {
    return this.head(conversation) > (conversation.last?.seq ?? 0);
  }

  /* Known to have no message, and not only because its first one is still on the way. */
  isEmpty(conversation) {
    return this.head(conversation) === 0 && Date.now() - conversation.since >= SETTLED_AFTER_MS;
  }

  /* Those of which the list has told less than `synced` has. */
  unlisted() {
    return [...this.conversations.values()].filter((one) => !one.isKnown || one.revision < one.wantedRevision);
  }

  /* Whether everybody else has read up to `seq`. */
  isRead(conversation, seq) {
    const others = this.others(conversation);
    return others.length > 0 && others.every((user) => (conversation.reads.get(user) ?? 0) >= seq);
  }

  typing(conversation) {
    return [...conversation.typing.keys()];
  }

  /* A summary, or the whole conversation, by REST or frame. An older revision than ours changes nothing but reads. */
  learn(summary) {
    const one = this.#get(summary.conversation_id);
    if (!one.isKnown || summary.revision >= one.revision) {
      const members = summary.members.map((member) => member.user_id ?? member);
      if (!one.isKnown || members.length >= Math.min(summary.member_count, one.members.length)) one.members = members;
      Object.assign(one, { title: summary.title, revision: summary.revision, indicators: summary.indicators, memberCount: summary.member_count });
    }
    one.isKnown = true;
    if (summary.last_message) this.#preview(one, summary.last_message);
    one.activeAt = Math.max(one.activeAt, Date.parse(summary.last_message_at ?? summary.created_at));
    this.#read(one, this.me, summary.last_read_seq ?? 0);
    for (const member of summary.members) if (member.user_id) this.#learnMember(one, member);
    this.onChange();
    return one;
  }

  /* A page of the list. */
  learnAll(summaries) {
    for (const summary of summaries) this.learn(summary);
    this.hasListed = true;
    this.onChange();
  }

  /* The newest messages of a conversation that is not open: for its line in the list only. */
  learnLatest(id, page) {
    const one = this.#get(id);
    for (const message of page.messages) this.#preview(one, message);
    this.onChange();
  }

  /* A page of history: ascending, together with whether there is more before it. */
  learnPage(id, page, { isLatest }) {
    const one = this.#get(id);
    for (const message of page.messages) this.#keep(one, message);
    one.hasOlder = page.has_more;
    if (isLatest) one.isLoaded = true;
    this.onChange();
  }

  learnPresence(userId, { online, last_seen_at: lastSeenAt }) {
    this.presence.set(userId, { online, lastSeenAt });
    this.onChange();
  }

  /* We read up to `seq`; the server may know less until it answers. */
  readUpTo(conversation, seq) {
    this.#read(conversation, this.me, seq);
    this.onChange();
  }

  on_welcome(frame) {
    this.degraded = new Set(frame.degraded);
    this.limits = frame.limits;
    for (const one of this.conversations.values()) one.typing.clear();
  }

  on_degraded(frame) {
    for (const name of frame.dependencies) this.degraded.add(name);
  }

  on_restored(frame) {
    for (const name of frame.dependencies) this.degraded.delete(name);
  }

  on_message(frame) {
    const one = this.#get(frame.conversation_id);
    if (!one.isKnown) this.onStale(one.id);
    if (one.cursor !== null && frame.seq <= one.cursor) return;
    one.cursor = frame.seq;
    this.#keep(one, frame);
    this.#endTyping(one, frame.sender);
    this.onMessage(one, frame);
  }

  on_truncated(frame) {
    const one = this.#get(frame.conversation_id);
    one.cursor = Math.max(one.cursor ?? 0, frame.to_seq);
    this.#discard(one);
  }

  on_reset(frame) {
    const one = this.#get(frame.conversation_id);
    Object.assign(one, { cursor: frame.last_seq, last: null });
    for (const [user, seq] of one.reads) one.reads.set(user, Math.min(seq, frame.last_seq));
    this.#discard(one);
  }

  on_synced(frame) {
    for (const id of [...this.conversations.keys()]) if (!(id in frame.heads)) this.conversations.delete(id);
    for (const [id, head] of Object.entries(frame.heads)) {
      const one = this.#get(id);
      one.cursor ??= head;
      one.reads.set(this.me, frame.read_seqs[id] ?? 0); // as committed: a `read` that was lost is sent again
      one.wantedRevision = frame.revisions[id] ?? 0; // the list that is asked for next has it
    }
    this.hasSynced = true;
  }

  on_conversation(frame) {
    if (frame.event === "member_removed" && frame.user_id === this.me) {
      this.conversations.delete(frame.conversation_id);
      return;
    }
    const summary = frame.conversation;
    if (!summary) return;
    const one = this.learn(summary);
    one.cursor ??= summary.last_seq;
    if (summary.member_count > summary.members.length) this.onStale(one.id);
  }

  on_receipt(frame) {
    this.#read(this.#get(frame.conversation_id), frame.user_id, frame.seq);
  }

  on_presence(frame) {
    this.learnPresence(frame.user_id, frame);
  }

  on_typing(frame) {
    const one = this.#get(frame.conversation_id);
    this.#endTyping(one, frame.user_id);
    if (!frame.active) return;
    const timer = setTimeout(() => {
      this.#endTyping(one, frame.user_id);
      this.onChange();
    }, frame.expires_in_ms);
    one.typing.set(frame.user_id, timer);
  }

  #get(id) {
    if (!this.conversations.has(id)) {
      this.conversations.set(id, {
        id, title: null, members: [], memberCount: 0, revision: -1, indicators: true, isKnown: false, cursor: null, last: null,
        wantedRevision: 0, since: Date.now(), activeAt: 0, messages: [], isLoaded: false, isLoading: false, hasOlder: false, reads: new Map(), typing: new Map(),
      });
      setTimeout(() => this.onChange(), SETTLED_AFTER_MS);
    }
    return this.conversations.get(id);
  }

  #learnMember(one, member) {
    if (member.last_read_seq !== undefined) this.#read(one, member.user_id, member.last_read_seq);
    if (member.online !== undefined) this.presence.set(member.user_id, { online: member.online, lastSeenAt: member.last_seen_at });
  }

  #keep(one, message) {
    const { messages } = one;
    let place = messages.length;
    while (place > 0 && messages[place - 1].seq > message.seq) place -= 1;
    if (messages[place - 1]?.seq === message.seq) return;
    messages.splice(place, 0, message);
    if (messages.length > KEPT_MESSAGES && place === messages.length - 1) {
      messages.shift();
      one.hasOlder = true;
    }
    this.#preview(one, message);
    this.#read(one, message.sender, message.seq); // a send moves its sender's own read cursor
  }

  #preview(one, message) {
    if (one.last && one.last.seq >= message.seq) return;
    one.last = message;
    one.activeAt = Math.max(one.activeAt, Date.parse(message.sent_at));
  }

  #discard(one) {
    Object.assign(one, { messages: [], isLoaded: false, hasOlder: false });
  }

  #read(one, user, seq) {
    if (seq > (one.reads.get(user) ?? 0)) one.reads.set(user, seq);
  }

  #endTyping(one, user) {
    clearTimeout(one.typing.get(user));
    one.typing.delete(user);
  }
}
