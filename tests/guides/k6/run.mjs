// In place of the program k6: one iteration of each user, and how often each metric got a value.
import { counts } from "./metrics.mjs";

globalThis.__ENV = process.env;
globalThis.__ITER = 0;
globalThis.__VU = 0; // read while a user begins, and by its messages: those of all users count as the last one's
const { default: chat } = await import("../chat.mjs");
for (let user = 1; user <= Number(process.env.USERS); user += 1) {
  globalThis.__VU = user;
  chat();
}
process.on("exit", () => console.log(JSON.stringify(counts)));
