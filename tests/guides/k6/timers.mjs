// In place of `k6/timers`.
export const { clearInterval, setInterval, setTimeout } = globalThis;
