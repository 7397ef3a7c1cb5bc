// Where the visitor stands. OpenCV axes in the page's frame; the lens comes from the bookmark that is shown.

import type { Camera, Manifest } from "./manifest";
import { add, column, cross, dot, fromColumns, length, lookAt, mul, sub, turn, unit, type Mat34, type Vec3 } from "./maths";
import type { View } from "./splats";

export type Mode = "orbit" | "fly";

export class Viewpoint {
  pose: Mat34;
  target: Vec3;
  mode: Mode = "orbit";
  bookmark: number;
  private lens: Camera;
  private flight: { from: Mat34; to: Mat34; begin: number } | null = null;

  constructor(private readonly manifest: Manifest) {
    this.bookmark = manifest.initial;
    this.lens = manifest.bookmarks[manifest.initial];
    this.pose = this.lens.pose;
    this.target = this.ahead(this.pose);
  }

  /** Go to a bookmark, at once or in a short flight. */
  show(index: number, now: number, calm: boolean): void {
    const { bookmarks } = this.manifest;
    this.bookmark = (index + bookmarks.length) % bookmarks.length;
    this.lens = bookmarks[this.bookmark];
    this.flight = calm ? null : { from: this.pose, to: this.lens.pose, begin: now };
    if (calm) this.arrive(this.lens.pose);
  }

  /** Moves on with a flight; false when there is none. */
  fly(now: number): boolean {
    if (!this.flight) return false;
    const { from, to, begin } = this.flight;
    const part = Math.min(1, (now - begin) / 500);
    const s = part * part * (3 - 2 * part);
    const mix = (a: Vec3, b: Vec3): Vec3 => add(mul(a, 1 - s), mul(b, s));
    const eye = mix(column(from, 3), column(to, 3));
    const forward = unit(mix(column(from, 2), column(to, 2)));
    const down = mix(column(from, 1), column(to, 1));
    const right = unit(cross(down, forward));
    this.pose = fromColumns(right, cross(forward, right), forward, eye);
    if (part === 1) {
      this.flight = null;
      this.arrive(to);
    }
    return true;
  }

  orbit(dx: number, dy: number): void {
    this.flight = null;
    const up = unit(this.manifest.up);
    if (this.mode === "fly") {
      this.pose = this.turned(column(this.pose, 3), dx * 0.6, dy * 0.6);
      this.target = this.ahead(this.pose);
      return;
    }
    const offset = sub(column(this.pose, 3), this.target);
    const right = column(this.pose, 0);
    let next = turn(offset, right, -dy);
    // Not over the pole: there the horizon would flip.
    if (Math.abs(dot(unit(next), up)) > 0.995) next = offset;
    next = turn(next, up, -dx);
    this.pose = lookAt(add(this.target, next), this.target, up);
  }

  pan(dx: number, dy: number): void {
    this.flight = null;
    const far = length(sub(column(this.pose, 3), this.target));
    const shift = add(mul(column(this.pose, 0), -dx * far), mul(column(this.pose, 1), -dy * far));
    this.move(shift);
  }

  /** Come closer (factor below 1) or step back. */
  zoom(factor: number): void {
    this.flight = null;
    const eye = column(this.pose, 3);
    const far = length(sub(eye, this.target));
    const step = mul(column(this.pose, 2), far * (1 - factor));
    if (this.mode === "fly") this.move(step);
    else this.pose = withEye(this.pose, add(eye, step));
  }

  /** Walk: right, down, forward, in units of the distance to what is looked at. */
  walk(right: number, down: number, forward: number): void {
    this.flight = null;
    const far = this.unitLength();
    const shift = [right, down, forward].map((amount, i) => mul(column(this.pose, i), amount * far));
    this.move(add(add(shift[0], shift[1]), shift[2]));
  }

  view(width: number, height: number): View {
    const [fx, fy] = this.lens.intrinsics;
    const [w, h] = this.lens.size;
    // The whole of the photograph fits, whatever the shape of the window.
    const zoom = Math.min(width / w, height / h);
    return this.seen(this.pose, [fx * zoom, fy * zoom, width / 2, height / 2], [width, height]);
  }

  seen(pose: Mat34, intrinsics: Camera["intrinsics"], size: [number, number]): View {
    const far = this.unitLength();
    return { pose, intrinsics, size, depths: [0.002 * far, 500 * far] };
  }

  private unitLength(): number {
    const { bookmarks, focus } = this.manifest;
    return Math.max(1e-6, length(sub(column(bookmarks[this.manifest.initial].pose, 3), focus)));
  }

  private arrive(pose: Mat34): void {
    this.pose = pose;
    this.target = this.ahead(pose);
  }

  /** The point straight ahead that is as far as the focus of all photographs. */
  private ahead(pose: Mat34): Vec3 {
    const eye = column(pose, 3);
    const far = dot(sub(this.manifest.focus, eye), column(pose, 2));
    return add(eye, mul(column(pose, 2), far > 0 ? far : this.unitLength()));
  }

  private turned(eye: Vec3, dx: number, dy: number): Mat34 {
    const up = unit(this.manifest.up);
    let forward = turn(column(this.pose, 2), column(this.pose, 0), dy);
    if (Math.abs(dot(forward, up)) > 0.995) forward = column(this.pose, 2);
    forward = turn(forward, up, dx);
    return lookAt(eye, add(eye, forward), up);
  }

  private move(shift: Vec3): void {
    this.pose = withEye(this.pose, add(column(this.pose, 3), shift));
    this.target = add(this.target, shift);
  }
}

function withEye(pose: Mat34, eye: Vec3): Mat34 {
  return fromColumns(column(pose, 0), column(pose, 1), column(pose, 2), eye);
}
