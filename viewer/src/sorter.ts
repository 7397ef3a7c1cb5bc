// Asks the worker for orders of splats, one at a time, always for the newest view.

import type { Reply, Request } from "./worker";

export class Sorter {
  ms = 0;
  count = 0;
  private order: Uint32Array | null;
  private asked: { row: number[]; hidden: number[] } | null = null;
  private next: { row: number[]; hidden: number[] } | null = null;
  private last = "";
  private arrived: (() => void)[] = [];

  constructor(
    slots: number,
    private readonly post: (request: Request, transfer: Transferable[]) => void,
    private readonly use: (order: Uint32Array, count: number) => void,
  ) {
    this.order = new Uint32Array(slots);
    post({ type: "room", splats: slots }, []);
  }

  /** Whether the order in use is the one for what was asked last. */
  get settled(): boolean {
    return this.asked === null && this.next === null;
  }

  /** The camera's z row in the page, and the nodes that are not shown. */
  ask(row: number[], hidden: number[]): void {
    const key = JSON.stringify([row, hidden]);
    if (key === this.last) return;
    this.last = key;
    this.next = { row, hidden };
    this.go();
  }

  /** More splats have come: what was sorted before is out of date. */
  forget(): void {
    this.last = "";
  }

  /** Resolves when the order in use is up to date. */
  async whenSettled(): Promise<void> {
    while (!this.settled) await new Promise<void>((wake) => this.arrived.push(wake));
  }

  receive(reply: Extract<Reply, { type: "order" }>): void {
    this.order = reply.order;
    this.ms = reply.ms;
    this.count = reply.count;
    this.asked = null;
    this.use(reply.order, reply.count);
    this.go();
    const waiting = this.arrived;
    this.arrived = [];
    for (const wake of waiting) wake();
  }

  private go(): void {
    if (this.asked || !this.next || !this.order) return;
    this.asked = this.next;
    this.next = null;
    const { order } = this;
    this.order = null;
    this.post({ type: "sort", ...this.asked, order }, [order.buffer as ArrayBuffer]);
  }
}
