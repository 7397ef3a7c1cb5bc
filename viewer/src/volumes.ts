// Baked fields: their textures, and the pass that marches them behind whatever opaque stands before them.

import { bind, COVER, nearest, Program, table, type GL, type Target } from "./gl";
import type { Wanted } from "./loader";
import { compose, invert } from "./maths";
import { BLOCK, layers, NETWORK_WEIGHTS, type VolumeNode } from "./manifest-volume";
import type { View } from "./splats";
import { FRAGMENT } from "./volume.glsl";

const DEPTH = `#version 300 es
precision highp float;
uniform sampler2D u_volume_depth;
uniform vec2 u_depths;
void main() {
  float z = texelFetch(u_volume_depth, ivec2(gl_FragCoord.xy), 0).r * u_depths.x;
  if (z <= 0.0) discard;
  gl_FragDepth = clamp(u_depths.y * (z - u_depths.x) / (z * (u_depths.y - u_depths.x)), 0.0, 1.0);
}`;

interface Held {
  occupancy: WebGLTexture;
  blocks: WebGLTexture;
  atlas: [WebGLTexture, WebGLTexture];
  planes: WebGLTexture;
  network: Float32Array;
  missing: number; // chunks
}

export class Volumes {
  shown = 0; // volumes that are complete
  readonly textureBytes: number;
  private readonly march: Program;
  private readonly deepen: Program;
  private readonly buffer: WebGLFramebuffer;
  private readonly held: Held[];
  private depth: WebGLTexture | null = null;
  private size: [number, number] = [0, 0];

  constructor(private readonly gl: GL, private readonly nodes: VolumeNode[]) {
    this.march = new Program(gl, COVER, FRAGMENT);
    this.deepen = new Program(gl, COVER, DEPTH);
    this.buffer = gl.createFramebuffer()!;
    this.held = nodes.map((node) => this.room(node));
    const parts = nodes.flatMap((node) => ["occupancy", "blocks", "atlas", "planes"].map((part) => layers(node, part)));
    this.textureBytes = parts.reduce((sum, [count, bytes]) => sum + count * bytes, 0);
  }

  wanted(changed: () => void): Wanted[] {
    return this.nodes.flatMap((node, n) =>
      node.chunks.map((chunk): Wanted => {
        const [first, count] = [chunk.values.first as number, chunk.values.count as number];
        const done = ([part]: (Uint8Array | Uint32Array)[]): void => {
          this.fill(node, this.held[n], chunk.part, first, count, part as Uint8Array);
          if (--this.held[n].missing === 0) this.shown += 1;
          changed();
        };
        return { chunk, job: { kind: "raw" }, seen: () => true, done };
      }),
    );
  }

  /** Over what `picture` holds; `keepDepth` lets splats know where the volumes are. */
  draw(view: View, picture: Target, hidden: (index: number) => boolean, keepDepth: boolean): void {
    const done = (n: number): boolean => this.held[n].missing === 0;
    const shown = this.nodes.map((_, n) => n).filter((n) => done(n) && !hidden(n) && !(this.nodes[n].standsIn && done(n + 1)));
    if (shown.length === 0) return;
    const { gl, march } = this;
    this.attach(picture);
    gl.clearBufferfv(gl.COLOR, 1, [0, 0, 0, 0]);
    march.use();
    gl.uniform4fv(march.at("u_intrinsics"), view.intrinsics);
    gl.uniform2fv(march.at("u_size"), view.size);
    gl.uniform2fv(march.at("u_depths"), view.depths);
    bind(gl, march, "u_shapes", 0, gl.TEXTURE_2D, picture.depth!);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    // The farthest first, by their middles: volumes that overlap are told apart no further.
    const far = (n: number): number => compose(invert(view.pose), this.nodes[n].pageFromNode)[11];
    for (const n of shown.sort((a, b) => far(b) - far(a))) this.drawNode(this.nodes[n], this.held[n], view);
    gl.disable(gl.BLEND);
    picture.bind(picture.width, picture.height);
    if (keepDepth) this.writeDepth(view);
  }

  private drawNode(node: VolumeNode, held: Held, view: View): void {
    const { gl, march } = this;
    const pose = compose(invert(node.pageFromNode), view.pose);
    const scale = 1 / Math.hypot(pose[0], pose[4], pose[8]);
    gl.uniform4fv(march.at("u_pose"), pose.map((x, i) => (i % 4 === 3 ? x : x * scale)));
    const numbers = { extent: node.extent, near: node.near, contracted: node.contracted ? 1 : 0, unit: node.unit, scale };
    for (const [name, value] of Object.entries(numbers)) gl.uniform1f(march.at(`u_${name}`), value);
    gl.uniform1f(march.at("u_inner"), 2 * (node.contracted ? 2 : node.extent));
    gl.uniform3fv(march.at("u_steps"), node.steps);
    gl.uniform2fv(march.at("u_reach"), node.reach);
    gl.uniform3i(march.at("u_counts"), node.cascades, node.grid, node.maxSamples);
    gl.uniform2i(march.at("u_sides"), node.resolution, node.planes);
    gl.uniform3iv(march.at("u_tiles"), node.atlas);
    gl.uniform4fv(march.at("u_network"), held.network);
    bind(gl, march, "u_occupancy", 1, gl.TEXTURE_3D, held.occupancy);
    bind(gl, march, "u_blocks", 2, gl.TEXTURE_3D, held.blocks);
    bind(gl, march, "u_planes", 3, gl.TEXTURE_2D_ARRAY, held.planes);
    held.atlas.forEach((texture, i) => bind(gl, march, `u_atlas[${i}]`, 4 + i, gl.TEXTURE_3D, texture));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** A frame buffer over the picture's colours, without its depth, which the pass reads. */
  private attach(picture: Target): void {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.buffer);
    if (this.size[0] !== picture.width || this.size[1] !== picture.height) {
      gl.deleteTexture(this.depth);
      this.size = [picture.width, picture.height];
      gl.activeTexture(gl.TEXTURE0);
      this.depth = table(gl, { internal: gl.R16F, format: gl.RED, type: gl.HALF_FLOAT }, picture.width, picture.height);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT1, gl.TEXTURE_2D, this.depth, 0);
    }
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, picture.color, 0);
    gl.drawBuffers([gl.COLOR_ATTACHMENT0, gl.COLOR_ATTACHMENT1]);
  }

  private writeDepth(view: View): void {
    const { gl, deepen } = this;
    deepen.use();
    gl.uniform2fv(deepen.at("u_depths"), view.depths);
    bind(gl, deepen, "u_volume_depth", 0, gl.TEXTURE_2D, this.depth!);
    gl.enable(gl.DEPTH_TEST);
    gl.colorMask(false, false, false, false);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.colorMask(true, true, true, true);
    gl.disable(gl.DEPTH_TEST);
  }

  private fill(node: VolumeNode, held: Held, part: string, first: number, count: number, bytes: Uint8Array): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    if (part === "network") {
      held.network.set(new Float32Array(bytes.buffer, bytes.byteOffset, NETWORK_WEIGHTS));
    } else if (part === "occupancy") {
      gl.bindTexture(gl.TEXTURE_3D, held.occupancy);
      gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, first, node.grid, node.grid, count, gl.RED_INTEGER, gl.UNSIGNED_BYTE, bytes);
    } else if (part === "blocks") {
      const side = node.resolution / BLOCK;
      const words = new Uint16Array(bytes.buffer, bytes.byteOffset, count * side * side);
      gl.bindTexture(gl.TEXTURE_3D, held.blocks);
      gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, first, side, side, count, gl.RED_INTEGER, gl.UNSIGNED_SHORT, words);
    } else if (part === "planes") {
      // Rows of the six layers, one layer after another.
      gl.bindTexture(gl.TEXTURE_2D_ARRAY, held.planes);
      for (let row = first; row < first + count; row++) {
        const [layer, y] = [Math.floor(row / node.planes), row % node.planes];
        const at = 4 * node.planes * (row - first);
        gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, y, layer, node.planes, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, bytes, at);
      }
    } else {
      // Slices of the first texture, then of the second.
      const [nx, ny, nz] = node.atlas.map((n) => n * (BLOCK + 1));
      for (let slice = first; slice < first + count; slice++) {
        gl.bindTexture(gl.TEXTURE_3D, held.atlas[slice < nz ? 0 : 1]);
        gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, slice % nz, nx, ny, 1, gl.RGBA, gl.UNSIGNED_BYTE, bytes, 4 * nx * ny * (slice - first));
      }
    }
  }

  private room(node: VolumeNode): Held {
    const { gl } = this;
    const deep = gl.getParameter(gl.MAX_3D_TEXTURE_SIZE) as number;
    const flat = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    const atlas = node.atlas.map((n) => n * (BLOCK + 1));
    if (Math.max(...atlas, layers(node, "occupancy")[0]) > deep || node.planes > flat)
      throw new Error(`"${node.name}" is finer than this device's textures; export it with a lower resolution.`);
    const make = (target: number, internal: number, filter: number, [x, y, z]: number[]): WebGLTexture => {
      const texture = gl.createTexture()!;
      gl.activeTexture(gl.TEXTURE0);
      gl.bindTexture(target, texture);
      gl.texStorage3D(target, 1, internal, x, y, z);
      nearest(gl, target, filter);
      return texture;
    };
    const side = node.resolution / BLOCK;
    return {
      occupancy: make(gl.TEXTURE_3D, gl.R8UI, gl.NEAREST, [node.grid, node.grid, node.grid * node.cascades]),
      blocks: make(gl.TEXTURE_3D, gl.R16UI, gl.NEAREST, [side, side, side]),
      atlas: [make(gl.TEXTURE_3D, gl.RGBA8, gl.LINEAR, atlas), make(gl.TEXTURE_3D, gl.RGBA8, gl.LINEAR, atlas)],
      planes: make(gl.TEXTURE_2D_ARRAY, gl.RGBA8, gl.LINEAR, [node.planes, node.planes, 6]),
      network: new Float32Array(NETWORK_WEIGHTS),
      missing: node.chunks.length,
    };
  }
}
