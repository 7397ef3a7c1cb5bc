// Everything that is drawn, and in which order: shapes, volumes up to them, splats over both where they are nearer,
// and the background behind it all.

import { bind, COVER, Program, Target, type GL } from "./gl";
import type { Wanted } from "./loader";
import type { AnyNode, Manifest, ShapeNode, SplatNode } from "./manifest";
import { Shapes } from "./shapes";
import { Splats, type View } from "./splats";
import type { VolumeNode } from "./manifest-volume";
import { Volumes } from "./volumes";

const RESOLVE = `#version 300 es
precision highp float;
uniform sampler2D u_picture;
uniform vec3 u_background;
uniform vec2 u_scale;
out vec4 color;
void main() {
  vec4 seen = texture(u_picture, gl_FragCoord.xy * u_scale);
  color = vec4(seen.rgb + (1.0 - seen.a) * u_background, 1.0);
}`;

export class Stage {
  readonly splats: Splats;
  readonly hidden: Set<number>;
  private readonly shapes: Shapes;
  private readonly shapeIds: number[];
  private readonly volumes: Volumes | null;
  private readonly volumeIds: number[];
  private readonly resolve: Program;
  private readonly picture: Target;
  private readonly photograph: Target;

  constructor(private readonly gl: GL, private readonly manifest: Manifest) {
    const { nodes } = manifest;
    const ids = (...kinds: AnyNode["kind"][]): number[] => nodes.flatMap((node, i) => (kinds.includes(node.kind) ? [i] : []));
    const splatIds = ids("splats");
    this.shapeIds = ids("points", "lines", "mesh");
    this.splats = new Splats(gl, splatIds.map((i) => nodes[i] as SplatNode), splatIds);
    this.shapes = new Shapes(gl, this.shapeIds.map((i) => nodes[i] as ShapeNode));
    this.volumeIds = ids("volume");
    const { volumeIds } = this;
    this.volumes = volumeIds.length ? new Volumes(gl, volumeIds.map((i) => nodes[i] as VolumeNode)) : null;
    this.hidden = new Set(nodes.flatMap((node, i) => (node.visible ? [] : [i])));
    this.resolve = new Program(gl, COVER, RESOLVE);
    // Half floats hold what splats add up; a volume's colours are used as they are, and may have all bits.
    const able = ["EXT_color_buffer_float", "EXT_float_blend", "OES_texture_float_linear"].every((name) => gl.getExtension(name));
    const fine = splatIds.length === 0 && able;
    const format = fine ? { internal: gl.RGBA32F, type: gl.FLOAT } : { internal: gl.RGBA16F, type: gl.HALF_FLOAT };
    this.picture = new Target(gl, { ...format, format: gl.RGBA }, true);
    this.photograph = new Target(gl, { internal: gl.RGBA8, format: gl.RGBA, type: gl.UNSIGNED_BYTE }, false);
  }

  wanted(eye: () => View, changed: (sort: boolean) => void): Wanted[] {
    const still = (): void => changed(false);
    return [...this.splats.wanted(eye, () => changed(true)), ...this.shapes.wanted(still), ...(this.volumes?.wanted(still) ?? [])];
  }

  /** To the canvas, whose size may be another one. */
  show(view: View, width: number, height: number): void {
    const { gl } = this;
    this.draw(view);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, width, height);
    this.finish(width, height);
  }

  /** What the scene takes on the graphics device. */
  get textureBytes(): number {
    return this.splats.textureBytes + (this.volumes?.textureBytes ?? 0);
  }

  /** Whether there is anything of the scene to see yet. */
  get drew(): boolean {
    return this.splats.sorted > 0 || (this.volumes?.shown ?? 0) > 0;
  }

  /** RGBA, rows from the top. */
  take(view: View): Uint8Array {
    const { gl } = this;
    const [width, height] = view.size;
    this.draw(view);
    this.photograph.bind(width, height);
    this.finish(width, height);
    const upside = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, upside);
    const pixels = new Uint8Array(upside.length);
    for (let y = 0; y < height; y++)
      pixels.set(upside.subarray(4 * width * y, 4 * width * (y + 1)), 4 * width * (height - 1 - y));
    return pixels;
  }

  private draw(view: View): void {
    const { gl } = this;
    this.picture.bind(view.size[0], view.size[1]);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    this.shapes.draw(view, (index) => this.hidden.has(this.shapeIds[index]));
    const { picture, volumeIds } = this;
    this.volumes?.draw(view, picture, (index) => this.hidden.has(volumeIds[index]), this.splats.sorted > 0);
    this.splats.draw(view);
  }

  private finish(width: number, height: number): void {
    const { gl, resolve } = this;
    resolve.use();
    bind(gl, resolve, "u_picture", 0, gl.TEXTURE_2D, this.picture.color!);
    const filter = width === this.picture.width && height === this.picture.height ? gl.NEAREST : gl.LINEAR;
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
    gl.uniform2f(resolve.at("u_scale"), 1 / width, 1 / height);
    gl.uniform3fv(resolve.at("u_background"), this.manifest.background);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}
