export function pause(attempt: number, atLeast?: number): number;
export function isFinal(code: number): boolean;
export function isOurMistake(code: number): code is 1002 | 1003 | 1007 | 1009;
