// In place of `k6/metrics`: how often each metric got a value.
export const counts = {};

export function counted(name) {
  counts[name] = (counts[name] ?? 0) + 1;
}

export class Trend {
  constructor(name) {
    this.name = name;
  }

  add(value) {
    if (!Number.isFinite(value) || value < 0) throw new Error(`${this.name}: ${value}`);
    counted(this.name);
  }
}

export const Counter = Trend;
