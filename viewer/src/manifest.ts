// What scene.json may say. Whoever wrote it is a stranger: everything is checked, bounded and copied before use.

import { array, BadManifest, choice, flag, integer, number, numbers, object, range, text, type Values } from "./checks";
import type { Mat34, Vec3 } from "./maths";
import { parseVolume, type VolumeNode } from "./manifest-volume";

export const LIMITS = {
  nodes: 64,
  bookmarks: 2000,
  chunks: 4096,
  chunkBytes: 8 << 20,
  totalBytes: 1 << 30,
  splats: 8 << 20,
  blockSplats: 1 << 16,
  vertices: 1 << 22,
};

/** A file beside the manifest, or a part of the page that holds it. */
export interface Chunk {
  file: string;
  bytes: number;
  rawBytes: number;
  sha256: string;
  level: number;
  part: string;
  values: Values;
}

export interface Camera {
  name: string;
  pose: Mat34; // page_from_camera, OpenCV axes
  intrinsics: [number, number, number, number]; // fx fy cx cy in pixels
  size: [number, number];
}

interface Node {
  name: string;
  visible: boolean;
  pageFromNode: Mat34;
  chunks: Chunk[];
}

/** Splats that lie together: what their numbers in the chunk mean. */
export interface Block {
  count: number;
  lower: Vec3;
  upper: Vec3;
  logScale: [number, number];
  color: [number, number];
}

export interface SplatNode extends Node {
  kind: "splats";
  count: number;
  degree: number;
  antialiased: boolean;
  near: number;
  blocks: Block[];
}

export interface ShapeNode extends Node {
  kind: "points" | "lines" | "mesh";
  count: number;
  triangles: number;
  pixels: number; // width of points
}

export type AnyNode = SplatNode | ShapeNode | VolumeNode;
export type NodeBase = Node;

export interface Manifest {
  title: string;
  up: Vec3;
  focus: Vec3;
  background: Vec3;
  initial: number; // a bookmark
  bookmarks: Camera[];
  nodes: AnyNode[];
}

const FILE = /^[a-z][a-z0-9_]{0,31}_[0-9a-f]{12}\.bin$/;

/** Throws BadManifest with a sentence that says what is wrong. */
export function parseManifest(source: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(source);
  } catch {
    throw new BadManifest("scene.json: it is not JSON, or only a part of it arrived");
  }
  const values = object(json, "scene.json");
  if (values.format !== "scenekit-web" || values.version !== 1)
    throw new BadManifest(
      `scene.json: wanted format scenekit-web, version 1, found ${JSON.stringify([values.format, values.version])}`,
    );
  const bookmarks = array(values.bookmarks, "bookmarks", LIMITS.bookmarks).map(camera);
  if (bookmarks.length === 0) throw new BadManifest("bookmarks: wanted at least one camera, found none");
  const nodes = array(values.nodes, "nodes", LIMITS.nodes).map(node);
  checkTotals(nodes);
  nodes.forEach((n, i) => {
    if (n.kind === "volume" && n.standsIn && nodes[i + 1]?.kind !== "volume")
      throw new BadManifest(`nodes[${i}]: wanted a volume after the one that stands in for it`);
  });
  return {
    title: text(values.title, "title"),
    up: numbers(values.up, "up", 3) as Vec3,
    focus: numbers(values.focus, "focus", 3) as Vec3,
    background: numbers(values.background, "background", 3, 0, 1) as Vec3,
    initial: integer(values.initial, "initial", 0, bookmarks.length - 1),
    bookmarks,
    nodes,
  };
}

function checkTotals(nodes: AnyNode[]): void {
  const chunks = nodes.flatMap((n) => n.chunks);
  const raw = chunks.reduce((sum, c) => sum + c.rawBytes, 0);
  const splats = nodes.reduce((sum, n) => sum + (n.kind === "splats" ? n.count : 0), 0);
  if (chunks.length > LIMITS.chunks) throw new BadManifest(`chunks: wanted at most ${LIMITS.chunks}, found ${chunks.length}`);
  if (raw > LIMITS.totalBytes) throw new BadManifest(`chunks: wanted at most ${LIMITS.totalBytes} bytes, found ${raw}`);
  if (splats > LIMITS.splats) throw new BadManifest(`splats: wanted at most ${LIMITS.splats}, found ${splats}`);
}

function camera(value: unknown, index: number): Camera {
  const where = `bookmarks[${index}]`;
  const c = object(value, where);
  const intrinsics = numbers(c.intrinsics, `${where}.intrinsics`, 4) as Camera["intrinsics"];
  const size = array(c.size, `${where}.size`, 2).map((n) => integer(n, `${where}.size`, 1, 100000));
  if (size.length !== 2 || !(intrinsics[0] > 0 && intrinsics[1] > 0))
    throw new BadManifest(`${where}: wanted a width, a height and positive focal lengths`);
  return { name: text(c.name, `${where}.name`), pose: numbers(c.pose, `${where}.pose`, 12), intrinsics, size: size as [number, number] };
}

function node(value: unknown, index: number): AnyNode {
  const where = `nodes[${index}]`;
  const n = object(value, where);
  const kind = choice(n.kind, `${where}.kind`, ["splats", "volume", "points", "lines", "mesh"] as const);
  const base = {
    name: text(n.name, `${where}.name`),
    visible: flag(n.visible, `${where}.visible`),
    pageFromNode: similarity(n.page_from_node, `${where}.page_from_node`),
    chunks: array(n.chunks, `${where}.chunks`, LIMITS.chunks).map((c, i) => chunk(c, `${where}.chunks[${i}]`)),
  };
  if (kind === "splats") return { ...base, kind, ...splats(n, where, base.chunks) };
  if (kind === "volume") return parseVolume(n, where, base);
  return { ...base, kind, ...shape(n, kind, where, base.chunks) };
}

function shape(n: Values, kind: ShapeNode["kind"], where: string, chunks: Chunk[]): Omit<ShapeNode, keyof Node | "kind"> {
  const count = integer(n.count, `${where}.count`, 0, LIMITS.vertices);
  const triangles = kind === "mesh" ? integer(n.triangles, `${where}.triangles`, 0, LIMITS.vertices) : 0;
  for (const c of chunks) {
    const flat = choice(c.part, `${where}: part of ${c.file}`, ["vertices", "triangles"]) === "triangles";
    const first = integer(c.values.first, `${where}: first of ${c.file}`, 0, flat ? triangles : count);
    const many = integer(c.values.count, `${where}: count of ${c.file}`, 0, (flat ? triangles : count) - first);
    if (c.rawBytes !== (flat ? 12 : 16) * many) throw new BadManifest(`${where}: ${c.file} has the wrong size`);
  }
  return { count, triangles, pixels: kind === "points" ? number(n.pixels, `${where}.pixels`, 1, 64) : 1 };
}

function splats(n: Values, where: string, chunks: Chunk[]): Omit<SplatNode, keyof Node | "kind"> {
  const degree = integer(n.degree, `${where}.degree`, 0, 3);
  const blocks = array(n.blocks, `${where}.blocks`, LIMITS.chunks).map((value, i) => {
    const at = `${where}.blocks[${i}]`;
    const b = object(value, at);
    return {
      count: integer(b.count, `${at}.count`, 1, LIMITS.blockSplats),
      lower: numbers(b.lower, `${at}.lower`, 3) as Vec3,
      upper: numbers(b.upper, `${at}.upper`, 3) as Vec3,
      logScale: range(b.log_scale, `${at}.log_scale`),
      color: range(b.color, `${at}.color`),
    };
  });
  const count = integer(n.count, `${where}.count`, 0, LIMITS.splats);
  if (blocks.reduce((sum, b) => sum + b.count, 0) !== count)
    throw new BadManifest(`${where}: its blocks do not add up to its ${count} splats`);
  for (const c of chunks) {
    const block = blocks[integer(c.values.block, `${where}: block of ${c.file}`, 0, blocks.length - 1)];
    const each = choice(c.part, `${where}: part of ${c.file}`, ["base", "harmonics"]) === "base" ? 17 : 3 * ((degree + 1) ** 2 - 1);
    if (c.part === "harmonics") numbers(c.values.scales, `${where}: scales of ${c.file}`, 3);
    if (c.rawBytes !== each * block.count) throw new BadManifest(`${where}: ${c.file} has the wrong size for its block`);
  }
  return { count, degree, antialiased: flag(n.antialiased, `${where}.antialiased`), near: number(n.near, `${where}.near`, 0), blocks };
}

function chunk(value: unknown, where: string): Chunk {
  const c = object(value, where);
  const file = text(c.file, `${where}.file`);
  const sha256 = text(c.sha256, `${where}.sha256`);
  if (!FILE.test(file)) throw new BadManifest(`${where}.file: wanted a name such as base_0123456789ab.bin`);
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new BadManifest(`${where}.sha256: wanted 64 hexadecimal digits`);
  choice(c.codec, `${where}.codec`, ["gzip"]);
  return {
    file,
    sha256,
    bytes: integer(c.bytes, `${where}.bytes`, 1, LIMITS.chunkBytes),
    rawBytes: integer(c.raw_bytes, `${where}.raw_bytes`, 1, LIMITS.chunkBytes),
    level: integer(c.level, `${where}.level`, 0, 100),
    part: text(c.part, `${where}.part`, 20),
    values: c,
  };
}

function similarity(value: unknown, where: string): Mat34 {
  const s = object(value, where);
  const scale = number(s.scale, `${where}.scale`, 1e-9, 1e9);
  const rows = array(s.rotation, `${where}.rotation`, 3).map((row) => numbers(row, `${where}.rotation`, 3, -1.001, 1.001));
  const t = numbers(s.translation, `${where}.translation`, 3);
  if (rows.length !== 3) throw new BadManifest(`${where}.rotation: wanted three rows`);
  for (const i of [0, 1, 2])
    for (const j of [0, 1, 2]) {
      const product = rows[i][0] * rows[j][0] + rows[i][1] * rows[j][1] + rows[i][2] * rows[j][2];
      if (Math.abs(product - (i === j ? 1 : 0)) > 1e-3) throw new BadManifest(`${where}.rotation: it is no rotation`);
    }
  return rows.flatMap((row, i) => [...row.map((x) => x * scale), t[i]]);
}
