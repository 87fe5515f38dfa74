// In place of the module `k6`.
import { counted } from "./metrics.mjs";

export function check(value, conditions) {
  for (const [name, holds] of Object.entries(conditions)) if (!holds(value)) fail(name);
  counted("checks");
}

export function fail(why) {
  throw new Error(why);
}
