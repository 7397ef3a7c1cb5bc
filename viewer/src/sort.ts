// Back to front: an exact radix sort of float depths, two passes of 16 bits.

export class DepthSort {
  private keys: Uint32Array;
  private spareKeys: Uint32Array;
  private spare: Uint32Array;
  private floats: Float32Array;
  private readonly low = new Uint32Array(65536);
  private readonly high = new Uint32Array(65536);

  constructor(capacity: number) {
    this.keys = new Uint32Array(capacity);
    this.floats = new Float32Array(this.keys.buffer);
    this.spareKeys = new Uint32Array(capacity);
    this.spare = new Uint32Array(capacity);
  }

  /**
   * Writes into `order` the indices of all points of `spans` that lie in front of the camera, farthest first; of
   * equal depths the later index first. `positions` holds x, y, z of every index; depth is `row . (x, y, z, 1)`.
   * Returns how many there are.
   */
  sort(positions: Float32Array, spans: [number, number][], row: number[], order: Uint32Array): number {
    const { keys, floats, low, high } = this;
    low.fill(0);
    high.fill(0);
    const [a, b, c, d] = row;
    let count = 0;
    for (let s = spans.length - 1; s >= 0; s--) {
      const [start, end] = spans[s];
      for (let i = end - 1; i >= start; i--) {
        const depth = a * positions[3 * i] + b * positions[3 * i + 1] + c * positions[3 * i + 2] + d;
        if (!(depth > 0)) continue;
        // Positive floats order like their bits; inverted, the farthest come first.
        floats[count] = depth;
        const key = ~keys[count] >>> 0;
        keys[count] = key;
        this.spare[count++] = i;
        low[key & 65535]++;
        high[key >>> 16]++;
      }
    }
    for (let i = 0, atLow = 0, atHigh = 0; i < 65536; i++) {
      const [nextLow, nextHigh] = [atLow + low[i], atHigh + high[i]];
      low[i] = atLow;
      high[i] = atHigh;
      atLow = nextLow;
      atHigh = nextHigh;
    }
    for (let i = 0; i < count; i++) {
      const to = low[keys[i] & 65535]++;
      this.spareKeys[to] = keys[i];
      order[to] = this.spare[i];
    }
    this.spare.set(order.subarray(0, count));
    for (let i = 0; i < count; i++) order[high[this.spareKeys[i] >>> 16]++] = this.spare[i];
    return count;
  }
}
