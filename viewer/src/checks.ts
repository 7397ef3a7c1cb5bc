// Reading values that a stranger wrote: every reader names what it looked at and says what it wanted.

export class BadManifest extends Error {}

export type Values = Record<string, unknown>;

const fail = (where: string, wanted: string, found: unknown): never => {
  const text = JSON.stringify(found) ?? "nothing";
  throw new BadManifest(`${where}: wanted ${wanted}, found ${text.length > 60 ? `${text.slice(0, 57)}...` : text}`);
};

export function object(value: unknown, where: string): Values {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(where, "an object", value);
  return value as Values;
}

export function array(value: unknown, where: string, most: number): unknown[] {
  if (!Array.isArray(value) || value.length > most) return fail(where, `a list of at most ${most}`, value);
  return value;
}

export function text(value: unknown, where: string, most = 200): string {
  if (typeof value !== "string" || value.length > most) return fail(where, `text of at most ${most} characters`, value);
  return value;
}

export function choice<T extends string>(value: unknown, where: string, choices: readonly T[]): T {
  if (!choices.includes(value as T)) return fail(where, choices.join(" or "), value);
  return value as T;
}

export function flag(value: unknown, where: string): boolean {
  if (typeof value !== "boolean") return fail(where, "true or false", value);
  return value;
}

export function number(value: unknown, where: string, low = -1e12, high = 1e12): number {
  if (typeof value !== "number" || !(value >= low && value <= high))
    return fail(where, `a number from ${low} to ${high}`, value);
  return value;
}

export function integer(value: unknown, where: string, low: number, high: number): number {
  if (!Number.isInteger(number(value, where, low, high))) return fail(where, "a whole number", value);
  return value as number;
}

export function numbers(value: unknown, where: string, count: number, low = -1e12, high = 1e12): number[] {
  const list = array(value, where, count);
  if (list.length !== count) return fail(where, `${count} numbers`, value);
  return list.map((item, i) => number(item, `${where}[${i}]`, low, high));
}

/** `[low, high]` with low <= high. */
export function range(value: unknown, where: string): [number, number] {
  const [low, high] = numbers(value, where, 2);
  if (low > high) return fail(where, "a range from low to high", value);
  return [low, high];
}
