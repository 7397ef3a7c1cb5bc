// All splats of the page in shared tables, so that nodes that overlap are sorted as one.

import { type Camera, type SplatNode } from "./manifest";
import { bind, nearest, Program, table, type Format, type GL } from "./gl";
import type { Wanted } from "./loader";
import { apply, compose, invert, type Mat34, type Vec3 } from "./maths";
import { harmonicLayers } from "./pack-splats";
import { FRAGMENT, GROUP, VERTEX, WIDTH } from "./splats.glsl";

interface Placed {
  node: number;
  row: number; // first row in the tables
  corner: [Vec3, Vec3]; // its box, in the node's frame
}

export interface View extends Omit<Camera, "name"> {
  depths: [number, number];
}

export class Splats {
  readonly slots: number;
  readonly textureBytes: number;
  shown = 0; // splats that are loaded
  sorted = 0; // splats that are drawn
  private warm = false;
  private readonly program: Program;
  private readonly shapes: WebGLTexture;
  private readonly colors: WebGLTexture;
  private readonly harmonics: WebGLTexture;
  private readonly blockTable: WebGLTexture;
  private readonly nodeTable: WebGLTexture;
  private readonly blocks: Placed[] = [];
  private readonly blockRows: Float32Array;
  private readonly array: WebGLVertexArrayObject;
  private readonly orderTable: WebGLTexture;
  private readonly orderFormat: Format;
  private readonly colorFormat: Format;
  private readonly shapeFormat: Format;
  private readonly floats: Format;

  constructor(private readonly gl: GL, private readonly nodes: SplatNode[], private readonly ids: number[]) {
    let rows = 0;
    nodes.forEach((node, n) => {
      for (const block of node.blocks) {
        this.blocks.push({ node: n, row: rows, corner: [block.lower, block.upper] });
        rows += Math.ceil(block.count / WIDTH);
      }
    });
    const most = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    if (rows > most || this.blocks.length > most) throw new Error(`This device holds at most ${most * WIDTH} splats, the scene has more.`);
    this.slots = rows * WIDTH;
    this.program = new Program(gl, VERTEX, FRAGMENT);
    this.shapeFormat = { internal: gl.RGBA32UI, format: gl.RGBA_INTEGER, type: gl.UNSIGNED_INT };
    this.colorFormat = { internal: gl.RGBA8UI, format: gl.RGBA_INTEGER, type: gl.UNSIGNED_BYTE };
    this.floats = { internal: gl.RGBA32F, format: gl.RGBA, type: gl.FLOAT };
    gl.activeTexture(gl.TEXTURE0);
    this.shapes = table(gl, this.shapeFormat, WIDTH, Math.max(1, rows));
    this.colors = table(gl, this.colorFormat, WIDTH, Math.max(1, rows));
    const layers = harmonicLayers(Math.max(0, ...nodes.map((node) => node.degree)));
    this.textureBytes = this.slots * (24 + 16 * layers);
    this.harmonics = gl.createTexture()!;
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.harmonics);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGBA32UI, layers ? WIDTH : 1, layers ? Math.max(1, rows) : 1, Math.max(1, layers));
    nearest(gl, gl.TEXTURE_2D_ARRAY);
    this.blockRows = new Float32Array(16 * Math.max(1, this.blocks.length));
    this.blockTable = table(gl, this.floats, 4, Math.max(1, this.blocks.length));
    this.orderFormat = { internal: gl.R32UI, format: gl.RED_INTEGER, type: gl.UNSIGNED_INT };
    this.orderTable = table(gl, this.orderFormat, WIDTH, Math.max(1, rows));
    this.nodeTable = table(gl, this.floats, 5, Math.max(1, nodes.length));
    this.array = gl.createVertexArray()!;
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    const quads = Uint16Array.from({ length: 6 * GROUP }, (_, i) => 4 * Math.floor(i / 6) + [0, 1, 2, 2, 1, 3][i % 6]);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, quads, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
  }

  /** What to load; `eye` tells the view of now, for priorities. */
  wanted(eye: () => View, changed: () => void): Wanted[] {
    let first = 0;
    return this.nodes.flatMap((node, n) => {
      const base = first;
      first += node.blocks.length;
      return node.chunks.map((chunk): Wanted => {
        const index = chunk.values.block as number;
        const [id, block] = [base + index, node.blocks[index]];
        const seen = (): boolean => this.mayBeSeen(id, eye());
        const { row } = this.blocks[id];
        if (chunk.part === "base")
          return {
            chunk,
            seen,
            job: { kind: "base", block, id, start: row * WIDTH, node: this.ids[n], pageFromNode: node.pageFromNode },
            done: ([shapes, colors]) => {
              this.fill(this.shapes, this.shapeFormat, row, block.count, shapes as Uint32Array);
              this.fill(this.colors, this.colorFormat, row, block.count, colors as Uint8Array);
              const step = block.upper.map((u, axis) => (u - block.lower[axis]) / 65535);
              const [scaleStep, colorStep] = [block.logScale, block.color].map(([low, high]) => (high - low) / 255);
              this.blockRows.set([...block.lower, block.logScale[0], ...step, scaleStep, block.color[0], colorStep], 16 * id);
              this.blockRows[16 * id + 11] = n;
              this.writeBlock(id);
              this.shown += block.count;
              changed();
            },
          };
        return {
          chunk,
          seen,
          job: { kind: "harmonics", count: block.count, degree: node.degree },
          done: (layers) => {
            layers.forEach((layer, z) => this.fillHarmonics(row, z, block.count, layer as Uint8Array));
            this.blockRows[16 * id + 10] = node.degree;
            this.blockRows.set(chunk.values.scales as number[], 16 * id + 12);
            this.writeBlock(id);
            changed();
          },
        };
      });
    });
  }

  /** Of `slots` indices the first `count` are drawn, one over the other. */
  order(indices: Uint32Array, count: number): void {
    this.fill(this.orderTable, this.orderFormat, 0, count, indices);
    this.sorted = count;
  }

  draw(view: View): void {
    // Before anything has come an empty slot is drawn, which shows nothing: devices finish a shader when it first draws.
    const count = this.shown === 0 && !this.warm && this.nodes.length > 0 ? 1 : this.sorted;
    if (count === 0) return;
    this.warm = true;
    const { gl, program } = this;
    program.use();
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.nodeTable);
    const rows = this.nodes.flatMap((node) => nodeRow(node, view.pose));
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 5, this.nodes.length, gl.RGBA, gl.FLOAT, new Float32Array(rows));
    bind(gl, program, "u_nodes", 0, gl.TEXTURE_2D, this.nodeTable);
    bind(gl, program, "u_blocks", 1, gl.TEXTURE_2D, this.blockTable);
    bind(gl, program, "u_shapes", 2, gl.TEXTURE_2D, this.shapes);
    bind(gl, program, "u_colors", 3, gl.TEXTURE_2D, this.colors);
    bind(gl, program, "u_harmonics", 4, gl.TEXTURE_2D_ARRAY, this.harmonics);
    bind(gl, program, "u_order", 5, gl.TEXTURE_2D, this.orderTable);
    gl.uniform1i(program.at("u_count"), count);
    gl.uniform4fv(program.at("u_intrinsics"), view.intrinsics);
    gl.uniform2fv(program.at("u_size"), view.size);
    gl.uniform2fv(program.at("u_depths"), view.depths);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.enable(gl.DEPTH_TEST);
    gl.depthMask(false);
    gl.bindVertexArray(this.array);
    gl.drawElementsInstanced(gl.TRIANGLES, 6 * GROUP, gl.UNSIGNED_SHORT, 0, Math.ceil(count / GROUP));
    gl.bindVertexArray(null);
    gl.depthMask(true);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
  }

  private fill(texture: WebGLTexture, f: Format, row: number, count: number, data: Uint8Array | Uint32Array): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const [whole, left] = [Math.floor(count / WIDTH), count % WIDTH];
    if (whole) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, row, WIDTH, whole, f.format, f.type, data);
    const values = f.format === gl.RED_INTEGER ? 1 : 4;
    if (left) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, row + whole, left, 1, f.format, f.type, data, values * WIDTH * whole);
  }

  private fillHarmonics(row: number, layer: number, count: number, bytes: Uint8Array): void {
    const { gl } = this;
    const data = new Uint32Array(bytes.buffer);
    const { format, type } = this.shapeFormat;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.harmonics);
    const [whole, left] = [Math.floor(count / WIDTH), count % WIDTH];
    if (whole) gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, row, layer, WIDTH, whole, 1, format, type, data);
    if (left) gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, row + whole, layer, left, 1, 1, format, type, data, 4 * WIDTH * whole);
  }

  private writeBlock(id: number): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.blockTable);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, id, 4, 1, gl.RGBA, gl.FLOAT, this.blockRows, 16 * id);
  }

  /** Whether the ball about a block's box reaches into the view's cone, roughly. */
  private mayBeSeen(id: number, view: View): boolean {
    const { corner, node } = this.blocks[id];
    const toPage = this.nodes[node].pageFromNode;
    const [low, high] = corner.map((point) => apply(toPage, point));
    const middle = apply(invert(view.pose), [0, 1, 2].map((i) => 0.5 * (low[i] + high[i])) as Vec3);
    const radius = 0.5 * Math.hypot(...[0, 1, 2].map((i) => high[i] - low[i]));
    if (middle[2] < -radius) return false;
    const across = Math.hypot(middle[0], middle[1]) - radius * 1.5;
    const slope = 0.5 * Math.hypot(view.size[0] / view.intrinsics[0], view.size[1] / view.intrinsics[1]);
    return across < slope * Math.max(0, middle[2] + radius);
  }
}

function nodeRow(node: SplatNode, pose: Mat34): number[] {
  const cameraFromNode = compose(invert(pose), node.pageFromNode);
  const scale = Math.hypot(node.pageFromNode[0], node.pageFromNode[4], node.pageFromNode[8]);
  const eye = apply(invert(node.pageFromNode), [pose[3], pose[7], pose[11]]);
  return [...cameraFromNode, ...eye, node.near * scale, scale, node.antialiased ? 1 : 0, 0, 0];
}
