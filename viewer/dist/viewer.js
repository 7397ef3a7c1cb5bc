(function(){var e=class{source;post;failed;progress;waiting;busy=new Map;fetching=0;leading;next=0;constructor(e,t,n,r){this.source=t,this.post=n,this.failed=r,this.waiting=[...e],this.leading=e.filter(({chunk:e})=>e.level===0).length;let i=e.reduce((e,t)=>e+t.chunk.bytes,0);this.progress={loaded:0,total:e.length,bytes:0,totalBytes:i}}start(){let e=()=>this.leading===0||this.waiting[0].chunk.level===0;for(;this.fetching<4&&this.waiting.length>0&&e();)this.fetch(this.take())}receive(e){let t=this.busy.get(e.id);t&&(this.busy.delete(e.id),e.type===`failed`?this.failed(e.sentence):(this.progress.loaded+=1,t.done(e.parts)))}take(){let e=0,t=e=>2*e.chunk.level+ +!e.seen(),n=t(this.waiting[0]);for(let r=1;r<this.waiting.length&&this.waiting[r].chunk.level<=this.waiting[e].chunk.level;r++){let i=t(this.waiting[r]);i<n&&([e,n]=[r,i])}return this.waiting.splice(e,1)[0]}async fetch(e){this.fetching+=1;let{chunk:n}=e;for(let r=1;;r++)try{let r=await this.source(n.file,t(n));this.progress.bytes+=n.bytes;let i=this.next++;this.busy.set(i,e);let{file:a,rawBytes:o,sha256:s}=n;this.post({type:`chunk`,id:i,file:a,packed:r,rawBytes:o,sha256:s,job:e.job},[r.buffer]);break}catch(e){if(r<3)await new Promise(e=>setTimeout(e,300*r));else{this.failed(`${n.file}: ${e.message}`);break}}--this.fetching,n.level===0&&--this.leading,this.start()}},t=e=>Math.max(e.bytes,e.rawBytes);function n(e,n){let r=n.filter(e=>e.level===0).slice(0,4),i=new Map(r.map(n=>[n.file,e(n.file,t(n))]));for(let e of i.values())e.catch(()=>void 0);return(t,n)=>{let r=i.get(t)??e(t,n);return i.delete(t),r}}var r=e=>async(t,n)=>{let r=await fetch(new URL(t,e),{credentials:`same-origin`,redirect:`error`});if(!r.ok||!r.body)throw Error(`the server answers ${r.status} ${r.statusText}`);let i=[],a=0,o=r.body.getReader();for(;;){let{done:e,value:t}=await o.read();if(e)break;if(a+=t.length,a>n)throw await o.cancel(),Error(`the server sends more than the ${n} bytes that the manifest promises`);i.push(t)}let s=new Uint8Array(a),c=0;for(let e of i)s.set(e,c),c+=e.length;return s};function i(e){let t=new Map;for(let n of e)t.set(n,(t.get(n)??0)+1);return async e=>{let n=document.getElementById(e);if(!n)throw Error(`the page does not hold it; export it again`);let r=atob(n.textContent??``);t.set(e,t.get(e)-1),t.get(e)===0&&n.remove();let i=new Uint8Array(r.length);for(let e=0;e<r.length;e++)i[e]=r.charCodeAt(e);return i}}var a=class extends Error{},o=(e,t,n)=>{let r=JSON.stringify(n)??`nothing`;throw new a(`${e}: wanted ${t}, found ${r.length>60?`${r.slice(0,57)}...`:r}`)};function s(e,t){return typeof e!=`object`||!e||Array.isArray(e)?o(t,`an object`,e):e}function c(e,t,n){return!Array.isArray(e)||e.length>n?o(t,`a list of at most ${n}`,e):e}function l(e,t,n=200){return typeof e!=`string`||e.length>n?o(t,`text of at most ${n} characters`,e):e}function u(e,t,n){return n.includes(e)?e:o(t,n.join(` or `),e)}function d(e,t){return typeof e==`boolean`?e:o(t,`true or false`,e)}function f(e,t,n=-0xe8d4a51000,r=0xe8d4a51000){return typeof e!=`number`||!(e>=n&&e<=r)?o(t,`a number from ${n} to ${r}`,e):e}function p(e,t,n,r){return Number.isInteger(f(e,t,n,r))?e:o(t,`a whole number`,e)}function m(e,t,n,r=-0xe8d4a51000,i=0xe8d4a51000){let a=c(e,t,n);return a.length===n?a.map((e,n)=>f(e,`${t}[${n}]`,r,i)):o(t,`${n} numbers`,e)}function h(e,t){let[n,r]=m(e,t,2);return n>r?o(t,`a range from low to high`,e):[n,r]}var ee=[`occupancy`,`blocks`,`atlas`,`planes`,`network`];function te(e,t,n){let r={...n,kind:`volume`,standsIn:d(e.stands_in,`${t}.stands_in`),extent:f(e.extent,`${t}.extent`,1e-6,1e6),contracted:d(e.contracted,`${t}.contracted`),near:f(e.near,`${t}.near`,0,1e6),steps:m(e.steps,`${t}.steps`,3,0,1e6),maxSamples:p(e.max_samples,`${t}.max_samples`,1,4096),unit:f(e.unit,`${t}.unit`,1e-9,1e6),reach:m(e.reach,`${t}.reach`,2,0,100),cascades:p(e.cascades,`${t}.cascades`,1,12),grid:p(e.grid,`${t}.grid`,1,256),resolution:p(e.resolution,`${t}.resolution`,8,1024),atlas:m(e.atlas,`${t}.atlas`,3,1,227).map(Math.round),planes:p(e.planes,`${t}.planes`,4,4096)},[i,o,s]=r.steps;if(!(i>0&&o>=i&&s<=1))throw new a(`${t}.steps: wanted 0 < smallest <= largest and a cone up to 1`);if(r.resolution%8)throw new a(`${t}.resolution: wanted a multiple of 8`);for(let e of n.chunks)ne(r,e,t);return r}function g(e,t){let[n,r,i]=e.atlas;return{occupancy:[e.cascades*e.grid,e.grid**2],blocks:[e.resolution/8,2*(e.resolution/8)**2],atlas:[2*i*9,4*n*9*r*9],planes:[6*e.planes,4*e.planes],network:[1,2688]}[t]}function ne(e,t,n){let[r,i]=g(e,u(t.part,`${n}: part of ${t.file}`,ee)),o=p(t.values.first,`${n}: first of ${t.file}`,0,r),s=p(t.values.count,`${n}: count of ${t.file}`,1,r-o);if(t.rawBytes!==s*i)throw new a(`${n}: ${t.file} has the wrong size`)}var _={nodes:64,bookmarks:2e3,chunks:4096,chunkBytes:8<<20,totalBytes:1<<30,splats:8<<20,blockSplats:65536,vertices:1<<22},re=/^[a-z][a-z0-9_]{0,31}_[0-9a-f]{12}\.bin$/;function v(e){let t;try{t=JSON.parse(e)}catch{throw new a(`scene.json: it is not JSON, or only a part of it arrived`)}let n=s(t,`scene.json`);if(n.format!==`scenekit-web`||n.version!==1)throw new a(`scene.json: wanted format scenekit-web, version 1, found ${JSON.stringify([n.format,n.version])}`);let r=c(n.bookmarks,`bookmarks`,_.bookmarks).map(b);if(r.length===0)throw new a(`bookmarks: wanted at least one camera, found none`);let i=c(n.nodes,`nodes`,_.nodes).map(x);return y(i),i.forEach((e,t)=>{if(e.kind===`volume`&&e.standsIn&&i[t+1]?.kind!==`volume`)throw new a(`nodes[${t}]: wanted a volume after the one that stands in for it`)}),{title:l(n.title,`title`),up:m(n.up,`up`,3),focus:m(n.focus,`focus`,3),background:m(n.background,`background`,3,0,1),initial:p(n.initial,`initial`,0,r.length-1),bookmarks:r,nodes:i}}function y(e){let t=e.flatMap(e=>e.chunks),n=t.reduce((e,t)=>e+t.rawBytes,0),r=e.reduce((e,t)=>e+(t.kind===`splats`?t.count:0),0);if(t.length>_.chunks)throw new a(`chunks: wanted at most ${_.chunks}, found ${t.length}`);if(n>_.totalBytes)throw new a(`chunks: wanted at most ${_.totalBytes} bytes, found ${n}`);if(r>_.splats)throw new a(`splats: wanted at most ${_.splats}, found ${r}`)}function b(e,t){let n=`bookmarks[${t}]`,r=s(e,n),i=m(r.intrinsics,`${n}.intrinsics`,4),o=c(r.size,`${n}.size`,2).map(e=>p(e,`${n}.size`,1,1e5));if(o.length!==2||!(i[0]>0&&i[1]>0))throw new a(`${n}: wanted a width, a height and positive focal lengths`);return{name:l(r.name,`${n}.name`),pose:m(r.pose,`${n}.pose`,12),intrinsics:i,size:o}}function x(e,t){let n=`nodes[${t}]`,r=s(e,n),i=u(r.kind,`${n}.kind`,[`splats`,`volume`,`points`,`lines`,`mesh`]),a={name:l(r.name,`${n}.name`),visible:d(r.visible,`${n}.visible`),pageFromNode:oe(r.page_from_node,`${n}.page_from_node`),chunks:c(r.chunks,`${n}.chunks`,_.chunks).map((e,t)=>ae(e,`${n}.chunks[${t}]`))};return i===`splats`?{...a,kind:i,...ie(r,n,a.chunks)}:i===`volume`?te(r,n,a):{...a,kind:i,...S(r,i,n,a.chunks)}}function S(e,t,n,r){let i=p(e.count,`${n}.count`,0,_.vertices),o=t===`mesh`?p(e.triangles,`${n}.triangles`,0,_.vertices):0;for(let e of r){let t=u(e.part,`${n}: part of ${e.file}`,[`vertices`,`triangles`])===`triangles`,r=p(e.values.first,`${n}: first of ${e.file}`,0,t?o:i),s=p(e.values.count,`${n}: count of ${e.file}`,0,(t?o:i)-r);if(e.rawBytes!==(t?12:16)*s)throw new a(`${n}: ${e.file} has the wrong size`)}return{count:i,triangles:o,pixels:t===`points`?f(e.pixels,`${n}.pixels`,1,64):1}}function ie(e,t,n){let r=p(e.degree,`${t}.degree`,0,3),i=c(e.blocks,`${t}.blocks`,_.chunks).map((e,n)=>{let r=`${t}.blocks[${n}]`,i=s(e,r);return{count:p(i.count,`${r}.count`,1,_.blockSplats),lower:m(i.lower,`${r}.lower`,3),upper:m(i.upper,`${r}.upper`,3),logScale:h(i.log_scale,`${r}.log_scale`),color:h(i.color,`${r}.color`)}}),o=p(e.count,`${t}.count`,0,_.splats);if(i.reduce((e,t)=>e+t.count,0)!==o)throw new a(`${t}: its blocks do not add up to its ${o} splats`);for(let e of n){let n=i[p(e.values.block,`${t}: block of ${e.file}`,0,i.length-1)],o=u(e.part,`${t}: part of ${e.file}`,[`base`,`harmonics`])===`base`?17:3*((r+1)**2-1);if(e.part===`harmonics`&&m(e.values.scales,`${t}: scales of ${e.file}`,3),e.rawBytes!==o*n.count)throw new a(`${t}: ${e.file} has the wrong size for its block`)}return{count:o,degree:r,antialiased:d(e.antialiased,`${t}.antialiased`),near:f(e.near,`${t}.near`,0),blocks:i}}function ae(e,t){let n=s(e,t),r=l(n.file,`${t}.file`),i=l(n.sha256,`${t}.sha256`);if(!re.test(r))throw new a(`${t}.file: wanted a name such as base_0123456789ab.bin`);if(!/^[0-9a-f]{64}$/.test(i))throw new a(`${t}.sha256: wanted 64 hexadecimal digits`);return u(n.codec,`${t}.codec`,[`gzip`]),{file:r,sha256:i,bytes:p(n.bytes,`${t}.bytes`,1,_.chunkBytes),rawBytes:p(n.raw_bytes,`${t}.raw_bytes`,1,_.chunkBytes),level:p(n.level,`${t}.level`,0,100),part:l(n.part,`${t}.part`,20),values:n}}function oe(e,t){let n=s(e,t),r=f(n.scale,`${t}.scale`,1e-9,1e9),i=c(n.rotation,`${t}.rotation`,3).map(e=>m(e,`${t}.rotation`,3,-1.001,1.001)),o=m(n.translation,`${t}.translation`,3);if(i.length!==3)throw new a(`${t}.rotation: wanted three rows`);for(let e of[0,1,2])for(let n of[0,1,2]){let r=i[e][0]*i[n][0]+i[e][1]*i[n][1]+i[e][2]*i[n][2];if(Math.abs(r-+(e===n))>.001)throw new a(`${t}.rotation: it is no rotation`)}return i.flatMap((e,t)=>[...e.map(e=>e*r),o[t]])}var C=(e,t)=>[e[0]+t[0],e[1]+t[1],e[2]+t[2]],w=(e,t)=>[e[0]-t[0],e[1]-t[1],e[2]-t[2]],T=(e,t)=>[e[0]*t,e[1]*t,e[2]*t],E=(e,t)=>e[0]*t[0]+e[1]*t[1]+e[2]*t[2],D=e=>Math.hypot(e[0],e[1],e[2]),O=(e,t)=>[e[1]*t[2]-e[2]*t[1],e[2]*t[0]-e[0]*t[2],e[0]*t[1]-e[1]*t[0]];function k(e){let t=D(e);return t>0?T(e,1/t):[0,0,1]}function A(e,t,n){let r=Math.cos(n);return C(C(T(e,r),T(O(t,e),Math.sin(n))),T(t,E(t,e)*(1-r)))}var j=(e,t)=>[e[t],e[4+t],e[8+t]];function M(e,t,n,r){return[e[0],t[0],n[0],r[0],e[1],t[1],n[1],r[1],e[2],t[2],n[2],r[2]]}function N(e,t){return[e[0]*t[0]+e[1]*t[1]+e[2]*t[2]+e[3],e[4]*t[0]+e[5]*t[1]+e[6]*t[2]+e[7],e[8]*t[0]+e[9]*t[1]+e[10]*t[2]+e[11]]}function P(e,t){let n=[];for(let r=0;r<12;r+=4)for(let i=0;i<4;i++)n.push(e[r]*t[i]+e[r+1]*t[4+i]+e[r+2]*t[8+i]+(i===3?e[r+3]:0));return n}function F(e){let t=1/(e[0]*e[0]+e[4]*e[4]+e[8]*e[8]),[n,r,i,a]=[j(e,0),j(e,1),j(e,2),j(e,3)];return[T(n,t),T(r,t),T(i,t)].flatMap(e=>[...e,-E(e,a)])}function I(e,t,n){let r=k(w(t,e)),i=O(r,n);return E(i,i)<1e-12&&(i=O(r,[n[2],n[0],n[1]])),i=k(i),M(i,O(r,i),r,e)}var se=class{manifest;pose;target;mode=`orbit`;bookmark;lens;flight=null;constructor(e){this.manifest=e,this.bookmark=e.initial,this.lens=e.bookmarks[e.initial],this.pose=this.lens.pose,this.target=this.ahead(this.pose)}show(e,t,n){let{bookmarks:r}=this.manifest;this.bookmark=(e+r.length)%r.length,this.lens=r[this.bookmark],this.flight=n?null:{from:this.pose,to:this.lens.pose,begin:t},n&&this.arrive(this.lens.pose)}fly(e){if(!this.flight)return!1;let{from:t,to:n,begin:r}=this.flight,i=Math.min(1,(e-r)/500),a=i*i*(3-2*i),o=(e,t)=>C(T(e,1-a),T(t,a)),s=o(j(t,3),j(n,3)),c=k(o(j(t,2),j(n,2))),l=k(O(o(j(t,1),j(n,1)),c));return this.pose=M(l,O(c,l),c,s),i===1&&(this.flight=null,this.arrive(n)),!0}orbit(e,t){this.flight=null;let n=k(this.manifest.up);if(this.mode===`fly`){this.pose=this.turned(j(this.pose,3),e*.6,t*.6),this.target=this.ahead(this.pose);return}let r=w(j(this.pose,3),this.target),i=A(r,j(this.pose,0),-t);Math.abs(E(k(i),n))>.995&&(i=r),i=A(i,n,-e),this.pose=I(C(this.target,i),this.target,n)}pan(e,t){this.flight=null;let n=D(w(j(this.pose,3),this.target)),r=C(T(j(this.pose,0),-e*n),T(j(this.pose,1),-t*n));this.move(r)}zoom(e){this.flight=null;let t=j(this.pose,3),n=D(w(t,this.target)),r=T(j(this.pose,2),n*(1-e));this.mode===`fly`?this.move(r):this.pose=L(this.pose,C(t,r))}walk(e,t,n){this.flight=null;let r=this.unitLength(),i=[e,t,n].map((e,t)=>T(j(this.pose,t),e*r));this.move(C(C(i[0],i[1]),i[2]))}view(e,t){let[n,r]=this.lens.intrinsics,[i,a]=this.lens.size,o=Math.min(e/i,t/a);return this.seen(this.pose,[n*o,r*o,e/2,t/2],[e,t])}seen(e,t,n){let r=this.unitLength();return{pose:e,intrinsics:t,size:n,depths:[.002*r,500*r]}}unitLength(){let{bookmarks:e,focus:t}=this.manifest;return Math.max(1e-6,D(w(j(e[this.manifest.initial].pose,3),t)))}arrive(e){this.pose=e,this.target=this.ahead(e)}ahead(e){let t=j(e,3),n=E(w(this.manifest.focus,t),j(e,2));return C(t,T(j(e,2),n>0?n:this.unitLength()))}turned(e,t,n){let r=k(this.manifest.up),i=A(j(this.pose,2),j(this.pose,0),n);return Math.abs(E(i,r))>.995&&(i=j(this.pose,2)),i=A(i,r,t),I(e,C(e,i),r)}move(e){this.pose=L(this.pose,C(j(this.pose,3),e)),this.target=C(this.target,e)}};function L(e,t){return M(j(e,0),j(e,1),j(e,2),t)}var R=.7,z=1.2,B=new Set([`w`,`a`,`s`,`d`,`q`,`e`,`arrowleft`,`arrowright`,`arrowup`,`arrowdown`,`+`,`=`,`-`]),V=class{canvas;viewpoint;moved;pressed;pointers=new Map;keys=new Set;last=0;constructor(e,t,n,r){this.canvas=e,this.viewpoint=t,this.moved=n,this.pressed=r,e.addEventListener(`pointerdown`,e=>this.down(e)),e.addEventListener(`pointermove`,e=>this.drag(e));for(let t of[`pointerup`,`pointercancel`,`lostpointercapture`])e.addEventListener(t,e=>this.pointers.delete(e.pointerId));e.addEventListener(`contextmenu`,e=>e.preventDefault()),e.addEventListener(`wheel`,e=>this.wheel(e),{passive:!1}),document.addEventListener(`keydown`,t=>{(t.target===e||t.target===document.body)&&this.key(t)}),document.addEventListener(`keyup`,e=>this.keys.delete(e.key.toLowerCase())),e.addEventListener(`blur`,()=>this.keys.clear()),window.addEventListener(`blur`,()=>this.keys.clear())}get active(){return this.pointers.size>0||this.keys.size>0}step(e){let t=Math.min(.1,(e-this.last)/1e3);if(this.last=e,this.keys.size===0)return;let n=(...e)=>+!!e.some(e=>this.keys.has(e)),{viewpoint:r}=this,i=[n(`d`)-n(`a`),n(`q`)-n(`e`),n(`w`)-n(`s`)].map(e=>e*R*t),a=[n(`arrowright`)-n(`arrowleft`),n(`arrowdown`)-n(`arrowup`)].map(e=>e*z*t);i.some(e=>e!==0)&&r.walk(i[0],i[1],i[2]),a.some(e=>e!==0)&&r.orbit(a[0],a[1]);let o=n(`-`)-n(`+`,`=`);o!==0&&r.zoom(Math.exp(o*t)),this.moved()}down(e){this.canvas.focus(),this.canvas.setPointerCapture(e.pointerId),this.pointers.set(e.pointerId,{x:e.clientX,y:e.clientY})}drag(e){let t=this.pointers.get(e.pointerId);if(!t)return;let n=Math.min(this.canvas.clientWidth,this.canvas.clientHeight),[r,i]=[(e.clientX-t.x)/n,(e.clientY-t.y)/n],{viewpoint:a}=this;if(this.pointers.size===1)e.shiftKey||e.buttons&6?a.pan(r,i):a.orbit(3*r,3*i);else{let n=[...this.pointers].find(([t])=>t!==e.pointerId)[1],o=e=>Math.hypot(e.x-n.x,e.y-n.y);a.zoom(Math.max(1,o(t))/Math.max(1,o({x:e.clientX,y:e.clientY}))),a.pan(r/2,i/2)}t.x=e.clientX,t.y=e.clientY,this.moved()}wheel(e){e.preventDefault();let t=e.deltaMode===1?16:1;this.viewpoint.zoom(Math.exp(Math.max(-.5,Math.min(.5,e.deltaY*t*.0015)))),this.moved()}key(e){if(e.ctrlKey||e.metaKey||e.altKey)return;let t=e.key.toLowerCase();B.has(t)?(e.preventDefault(),this.keys.add(t),this.moved()):this.pressed(t)}};function H(e){let t=e.getContext(`webgl2`,{alpha:!1,antialias:!1,depth:!1,powerPreference:`high-performance`});if(!t)throw Error(`This browser has no WebGL2, or it is switched off; try another browser or switch on graphics acceleration.`);if(!t.getExtension(`EXT_color_buffer_float`)&&!t.getExtension(`EXT_color_buffer_half_float`))throw Error(`This graphics card cannot draw into half-float pictures, which splats need; try another device.`);return t}var U=class{gl;program;shaders=[];works=!1;places=new Map;constructor(e,t,n){this.gl=e,this.program=e.createProgram();for(let[r,i]of[[e.VERTEX_SHADER,t],[e.FRAGMENT_SHADER,n]]){let t=e.createShader(r);e.shaderSource(t,i),e.compileShader(t),e.attachShader(this.program,t),this.shaders.push(t)}e.linkProgram(this.program)}use(){this.works||this.check(),this.gl.useProgram(this.program)}at(e){let t=this.places.get(e);return t===void 0&&(t=this.gl.getUniformLocation(this.program,e),this.places.set(e,t)),t}check(){let{gl:e}=this;if(!e.getProgramParameter(this.program,e.LINK_STATUS)&&!e.isContextLost()){let t=[e.getProgramInfoLog(this.program),...this.shaders.map(t=>e.getShaderInfoLog(t))];throw Error(`A shader does not compile on this graphics card: ${t.filter(Boolean).join(` `)}`)}for(let t of this.shaders)e.deleteShader(t);this.shaders=[],this.works=!0}};function W(e,t,n,r){let i=e.createTexture();return e.bindTexture(e.TEXTURE_2D,i),e.texStorage2D(e.TEXTURE_2D,1,t.internal,n,r),G(e,e.TEXTURE_2D),i}function G(e,t,n=e.NEAREST){e.texParameteri(t,e.TEXTURE_MIN_FILTER,n),e.texParameteri(t,e.TEXTURE_MAG_FILTER,n);for(let n of[e.TEXTURE_WRAP_S,e.TEXTURE_WRAP_T,e.TEXTURE_WRAP_R])e.texParameteri(t,n,e.CLAMP_TO_EDGE)}function K(e,t,n,r,i,a){e.activeTexture(e.TEXTURE0+r),e.bindTexture(i,a),e.uniform1i(t.at(n),r)}var q=class{gl;format;deep;color=null;depth=null;buffer;width=0;height=0;constructor(e,t,n){this.gl=e,this.format=t,this.deep=n,this.buffer=e.createFramebuffer()}bind(e,t){let{gl:n}=this;if(n.bindFramebuffer(n.FRAMEBUFFER,this.buffer),n.viewport(0,0,e,t),(e!==this.width||t!==this.height)&&(n.deleteTexture(this.color),n.deleteTexture(this.depth),[this.width,this.height]=[e,t],n.activeTexture(n.TEXTURE0),this.color=W(n,this.format,e,t),n.framebufferTexture2D(n.FRAMEBUFFER,n.COLOR_ATTACHMENT0,n.TEXTURE_2D,this.color,0),this.deep&&(this.depth=W(n,{internal:n.DEPTH_COMPONENT24,format:n.DEPTH_COMPONENT,type:n.UNSIGNED_INT},e,t),n.framebufferTexture2D(n.FRAMEBUFFER,n.DEPTH_ATTACHMENT,n.TEXTURE_2D,this.depth,0)),n.checkFramebufferStatus(n.FRAMEBUFFER)!==n.FRAMEBUFFER_COMPLETE&&!n.isContextLost()))throw Error(`This graphics card cannot draw into half-float pictures, which splats need; try another device.`)}},J=`#version 300 es
void main() {
  vec2 p = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
  gl_Position = vec4(p * 2.0 - 1.0, 0.0, 1.0);
}`,ce=33,le=.2,ue=3,de=class{gl;frameMs=0;finished=0;scale=1;finishedAt=0;pending=null;constructor(e){this.gl=e}get busy(){if(!this.pending)return!1;let{gl:e}=this,{sync:t,began:n,moving:r}=this.pending;return e.getSyncParameter(t,e.SYNC_STATUS)!==e.SIGNALED&&!e.isContextLost()||(e.deleteSync(t),this.pending=null,this.finished+=1,this.finishedAt=performance.now(),this.frameMs=this.finishedAt-n,r&&(this.scale=Math.min(1,Math.max(le,this.scale*Math.sqrt(Math.min(1.4,Math.max(.2,ce/this.frameMs)))))),!1)}resting(e){return this.finished>0&&e<this.finishedAt+ue*this.frameMs}size(e,t,n){let r=n?this.scale:1;return[Math.max(1,Math.round(e*r)),Math.max(1,Math.round(t*r))]}drawn(e,t){let n=this.gl.fenceSync(this.gl.SYNC_GPU_COMMANDS_COMPLETE,0);this.gl.flush(),n&&(this.pending={sync:n,began:e,moving:t})}},fe=`drag: turn · right or two fingers: move · wheel or pinch: closer · arrows: turn · + −: closer · W A S D Q E: walk · F: orbit or fly · N, P: next, previous camera · 1–9: camera · R: back · I: figures · C: picture · H: this help`;function Y(e,t,n=``,r=``){let i=document.createElement(e);return i.textContent=n,r&&(i.className=r),t.append(i),i}var pe=class{bar;done;place;figures;help;alert;inside;menu;modeButton;constructor(e,t,n){let r=document.body;this.done=Y(`div`,r,``,`progress`),this.done.setAttribute(`role`,`progressbar`),this.done.setAttribute(`aria-label`,`loading`),this.bar=Y(`div`,this.done);let i=Y(`nav`,r,``,`panel`);i.setAttribute(`aria-label`,`scene`);let a=Y(`div`,i,``,`head`);Y(`strong`,a,e);let o=Y(`div`,i);o.id=`inside`,this.inside=o,this.menu=this.button(a,`☰`,`show or hide the controls`,()=>this.open(!this.isOpen)),this.menu.setAttribute(`aria-controls`,o.id),this.open(window.innerWidth>=520&&window.innerHeight>=320),this.controls(o,n),t.length>1&&this.tree(o,t,n),this.figures=Y(`pre`,o),this.figures.hidden=!0,this.help=Y(`p`,o,fe),this.help.hidden=!0,this.alert=Y(`div`,r,``,`alert`),this.alert.setAttribute(`role`,`alert`),this.alert.hidden=!0}toggleFigures(){this.turn(this.figures)}toggleHelp(){this.turn(this.help)}camera(e){this.place.textContent=e}mode(e){this.modeButton.textContent=e}progress(e){this.done.hidden=e>=1,this.done.setAttribute(`aria-valuenow`,String(Math.round(100*e))),this.bar.style.transform=`scaleX(${e})`}statistics(e){this.figures.hidden||(this.figures.textContent=e.join(`
`))}get isOpen(){return!this.inside.hidden}open(e){this.inside.hidden=!e,this.menu.setAttribute(`aria-expanded`,String(e))}turn(e){e.hidden=!e.hidden&&this.isOpen,e.hidden||this.open(!0)}controls(e,t){let n=Y(`div`,e,``,`row`);this.button(n,`‹`,`previous camera`,()=>t.bookmark(-1)),this.place=Y(`span`,n),this.place.setAttribute(`aria-live`,`polite`),this.button(n,`›`,`next camera`,()=>t.bookmark(1)),this.button(n,`back`,`back to the first view`,t.reset),this.modeButton=this.button(n,`orbit`,`orbit or fly`,t.mode),this.button(n,`picture`,`save a picture`,t.photograph),this.button(n,`figures`,`statistics`,t.figures),this.button(n,`?`,`help`,()=>this.toggleHelp())}tree(e,t,n){let r=Y(`div`,e,``,`row`);for(let e of t){let t=Y(`label`,r),i=Y(`input`,t);i.type=`checkbox`,i.checked=e.visible,i.addEventListener(`change`,()=>n.toggle(e.index)),Y(`span`,t,`${e.name} (${e.kind})`)}}button(e,t,n,r){let i=Y(`button`,e,t);return i.type=`button`,i.title=n,i.setAttribute(`aria-label`,n),i.addEventListener(`click`,r),i}trouble(e){this.alert.hidden=!1,this.alert.textContent=e}};function me(e){Y(`div`,document.body,e,`alert`).setAttribute(`role`,`alert`)}var he=class{post;use;ms=0;count=0;order;asked=null;next=null;last=``;arrived=[];constructor(e,t,n){this.post=t,this.use=n,this.order=new Uint32Array(e),t({type:`room`,splats:e},[])}get settled(){return this.asked===null&&this.next===null}ask(e,t){let n=JSON.stringify([e,t]);n!==this.last&&(this.last=n,this.next={row:e,hidden:t},this.go())}forget(){this.last=``}async whenSettled(){for(;!this.settled;)await new Promise(e=>this.arrived.push(e))}receive(e){this.order=e.order,this.ms=e.ms,this.count=e.count,this.asked=null,this.use(e.order,e.count),this.go();let t=this.arrived;this.arrived=[];for(let e of t)e()}go(){if(this.asked||!this.next||!this.order)return;this.asked=this.next,this.next=null;let{order:e}=this;this.order=null,this.post({type:`sort`,...this.asked,order:e},[e.buffer])}},ge=`#version 300 es
precision highp float;
uniform vec4 u_rows[3];
uniform vec4 u_intrinsics;
uniform vec2 u_size, u_depths;
uniform float u_pixels;
layout(location = 0) in vec3 a_position;
layout(location = 1) in vec4 a_color;
out vec3 v_color;
out vec3 v_point;
void main() {
  vec4 p = vec4(a_position, 1.0);
  v_point = vec3(dot(u_rows[0], p), dot(u_rows[1], p), dot(u_rows[2], p));
  v_color = a_color.rgb;
  vec2 slope = u_intrinsics.xy * v_point.xy + u_intrinsics.zw * v_point.z;
  float n = u_depths.x, f = u_depths.y;
  gl_Position = vec4(2.0 * slope.x / u_size.x - v_point.z, v_point.z - 2.0 * slope.y / u_size.y,
                     ((f + n) * v_point.z - 2.0 * f * n) / (f - n), v_point.z);
  gl_PointSize = u_pixels;
}`,_e=`#version 300 es
precision highp float;
uniform int u_kind;  // 0 points, 1 lines, 2 mesh
in vec3 v_color;
in vec3 v_point;
out vec4 color;
void main() {
  float light = 1.0;
  if (u_kind == 0 && length(gl_PointCoord - 0.5) > 0.5) discard;
  if (u_kind == 2) light = 0.35 + 0.65 * abs(dot(normalize(cross(dFdx(v_point), dFdy(v_point))), normalize(v_point)));
  color = vec4(v_color * light, 1.0);
}`,ve=[`points`,`lines`,`mesh`],ye=class{gl;nodes;program;held;constructor(e,t){this.gl=e,this.nodes=t,this.program=new U(e,ge,_e),this.held=t.map(e=>this.room(e))}wanted(e){let{gl:t}=this;return this.nodes.flatMap((n,r)=>n.chunks.map(n=>{let i=this.held[r],[a,o]=[n.values.first,n.values.count],s=(e,n,r,i)=>{t.bindVertexArray(null),t.bindBuffer(e,n),t.bufferSubData(e,r,i)};return{chunk:n,job:{kind:`raw`},seen:()=>!0,done:([r])=>{let c=r;n.part===`triangles`?s(t.ELEMENT_ARRAY_BUFFER,i.triangles,12*a,c):(s(t.ARRAY_BUFFER,i.positions,12*a,c.subarray(0,12*o)),s(t.ARRAY_BUFFER,i.colors,4*a,c.subarray(12*o))),--i.missing,e()}}}))}draw(e,t){let{gl:n,program:r}=this,i=F(e.pose);r.use(),n.uniform4fv(r.at(`u_intrinsics`),e.intrinsics),n.uniform2fv(r.at(`u_size`),e.size),n.uniform2fv(r.at(`u_depths`),e.depths),n.enable(n.DEPTH_TEST),this.nodes.forEach((e,n)=>{this.held[n].missing===0&&!t(n)&&this.drawNode(e,this.held[n],i)}),n.bindVertexArray(null),n.disable(n.DEPTH_TEST)}drawNode(e,t,n){let{gl:r,program:i}=this;r.uniform4fv(i.at(`u_rows`),P(n,e.pageFromNode)),r.uniform1i(i.at(`u_kind`),ve.indexOf(e.kind)),r.uniform1f(i.at(`u_pixels`),e.pixels),r.bindVertexArray(t.array),e.kind===`mesh`?r.drawElements(r.TRIANGLES,3*e.triangles,r.UNSIGNED_INT,0):r.drawArrays(e.kind===`lines`?r.LINES:r.POINTS,0,e.count)}room(e){let{gl:t}=this,n=(e,n)=>{let r=t.createBuffer();return t.bindBuffer(e,r),t.bufferData(e,n,t.STATIC_DRAW),r},r=t.createVertexArray();t.bindVertexArray(r);let i=n(t.ARRAY_BUFFER,12*e.count);t.enableVertexAttribArray(0),t.vertexAttribPointer(0,3,t.FLOAT,!1,0,0);let a=n(t.ARRAY_BUFFER,4*e.count);t.enableVertexAttribArray(1),t.vertexAttribPointer(1,4,t.UNSIGNED_BYTE,!0,0,0);let o=n(t.ELEMENT_ARRAY_BUFFER,12*e.triangles);return t.bindVertexArray(null),{array:r,positions:i,colors:a,triangles:o,missing:e.chunks.length}}},be=e=>[0,1,2,3][e],X=1024,xe=`#version 300 es
precision highp float;
precision highp int;
precision highp usampler2DArray;
uniform highp usampler2D u_shapes;
uniform highp usampler2D u_colors;
uniform highp usampler2DArray u_harmonics;
uniform highp sampler2D u_blocks;  // a row each: lower, log-scale low | step, its step | colour low, step, degree, node | harmonic scales
uniform highp sampler2D u_nodes;   // a row each: rows of camera_from_node | camera in node, near | scale, antialiased, visible
uniform vec4 u_intrinsics;
uniform vec2 u_size;
uniform vec2 u_depths;             // near and far of the depth buffer
uniform highp usampler2D u_order;
uniform int u_count;
flat out vec2 v_mean;
flat out vec3 v_conic;
flat out vec4 v_color;

const float BLUR = 0.3;
const float LEAST_COMPENSATION = 0.005;

vec4 row_of(highp sampler2D t, int row, int x) { return texelFetch(t, ivec2(x, row), 0); }

mat3 axes_of(uint q) {
  vec3 three = (vec3(q & 1023u, (q >> 10) & 1023u, (q >> 20) & 1023u) / 511.0 - 1.0) * 0.70710678;
  float last = sqrt(max(0.0, 1.0 - dot(three, three)));
  uint most = q >> 30;  // which of w x y z was the largest and is left out
  vec4 r = most == 0u ? vec4(last, three) : most == 1u ? vec4(three.x, last, three.yz)
         : most == 2u ? vec4(three.xy, last, three.z) : vec4(three, last);
  r = normalize(r);
  float w = r.x, x = r.y, y = r.z, z = r.w;
  return mat3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
              2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
              2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

uvec4 words;
ivec2 here;
int word_layer = -1;
vec3 coefficient(int k, vec4 scales) {  // k counts from 1, beyond the constant
  vec3 value;
  for (int c = 0; c < 3; c++) {
    int at = 3 * (k - 1) + c;
    if (at >> 4 != word_layer) {
      word_layer = at >> 4;
      words = texelFetch(u_harmonics, ivec3(here, word_layer), 0);
    }
    uint word = words[(at >> 2) & 3];
    value[c] = float(int(word << (24 - 8 * (at & 3))) >> 24);
  }
  return value * (k < 4 ? scales.x : k < 9 ? scales.y : scales.z);
}

vec3 harmonics(vec3 d, int degree, vec4 s) {
  float x = d.x, y = d.y, z = d.z;
  vec3 sum = 0.4886025119029199 * (-y * coefficient(1, s) + z * coefficient(2, s) - x * coefficient(3, s));
  if (degree < 2) return sum;
  float xx = x * x, yy = y * y, zz = z * z;
  sum += 1.0925484305920792 * (x * y) * coefficient(4, s);
  sum -= 1.0925484305920792 * (y * z) * coefficient(5, s);
  sum += 0.31539156525252005 * (2.0 * zz - xx - yy) * coefficient(6, s);
  sum -= 1.0925484305920792 * (x * z) * coefficient(7, s);
  sum += 0.5462742152960396 * (xx - yy) * coefficient(8, s);
  if (degree < 3) return sum;
  sum -= 0.5900435899266435 * y * (3.0 * xx - yy) * coefficient(9, s);
  sum += 2.890611442640554 * x * y * z * coefficient(10, s);
  sum -= 0.4570457994644658 * y * (4.0 * zz - xx - yy) * coefficient(11, s);
  sum += 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy) * coefficient(12, s);
  sum -= 0.4570457994644658 * x * (4.0 * zz - xx - yy) * coefficient(13, s);
  sum += 1.445305721320277 * z * (xx - yy) * coefficient(14, s);
  sum -= 0.5900435899266435 * x * (xx - 3.0 * yy) * coefficient(15, s);
  return sum;
}

void main() {
  gl_Position = vec4(2.0, 2.0, 2.0, 1.0);  // nowhere, until it is seen
  int place = gl_InstanceID * 256 + (gl_VertexID >> 2);
  if (place >= u_count) return;
  int index = int(texelFetch(u_order, ivec2(place % ${X}, place / ${X}), 0).r);
  here = ivec2(index % ${X}, index / ${X});
  uvec4 shape = texelFetch(u_shapes, here, 0);
  int block = int(shape.w >> 8);
  vec4 lower = row_of(u_blocks, block, 0), size = row_of(u_blocks, block, 1), paint = row_of(u_blocks, block, 2);
  int node = int(paint.w);
  vec4 eye = row_of(u_nodes, node, 3), kind = row_of(u_nodes, node, 4);
  vec3 mean = lower.xyz + size.xyz * vec3(shape.x & 65535u, shape.x >> 16, shape.y & 65535u);
  vec4 r0 = row_of(u_nodes, node, 0), r1 = row_of(u_nodes, node, 1), r2 = row_of(u_nodes, node, 2);
  vec3 point = vec3(dot(r0.xyz, mean) + r0.w, dot(r1.xyz, mean) + r1.w, dot(r2.xyz, mean) + r2.w);
  if (!(point.z > eye.w)) return;

  vec3 scales = exp(lower.w + size.w * vec3((shape.y >> 16) & 255u, shape.y >> 24, shape.w & 255u));
  mat3 axes = axes_of(shape.z);
  mat3 factors = transpose(mat3(r0.xyz, r1.xyz, r2.xyz)) * mat3(axes[0] * scales.x, axes[1] * scales.y, axes[2] * scales.z);
  vec2 focal = u_intrinsics.xy, center = u_intrinsics.zw;
  vec2 slopes = point.xy / point.z, margin = 0.15 * u_size / focal;
  vec2 clamped = clamp(slopes, -(center / focal + margin), (u_size - center) / focal + margin);
  mat3 rows = transpose(factors);
  vec3 u = focal.x / point.z * (rows[0] - clamped.x * rows[2]);
  vec3 v = focal.y / point.z * (rows[1] - clamped.y * rows[2]);
  float uu = dot(u, u), uv = dot(u, v), vv = dot(v, v);
  vec3 normal = cross(u, v);
  float sharp = dot(normal, normal);
  float determinant = sharp + BLUR * (uu + vv) + BLUR * BLUR;
  if (!(determinant > 0.0 && determinant < 3e38)) return;

  uvec4 rgba = texelFetch(u_colors, here, 0);
  float opacity = float(rgba.a) / 255.0;
  if (kind.y > 0.5) opacity *= sqrt(max(sharp / determinant, LEAST_COMPENSATION * LEAST_COMPENSATION));
  float reach = 2.0 * log(255.0 * opacity);
  if (!(reach > 0.0)) return;
  vec3 color = paint.x + paint.y * vec3(rgba.rgb);
  int degree = int(paint.z);
  if (degree > 0) color += harmonics(normalize(mean - eye.xyz), degree, row_of(u_blocks, block, 3));

  v_mean = focal * slopes + center;
  v_conic = vec3(vv + BLUR, -uv, uu + BLUR) / determinant;
  v_color = vec4(max(color, 0.0), opacity);

  // The quad about the ellipse alpha = 1/255, along its axes.
  float a = uu + BLUR, c = vv + BLUR, half_gap = length(vec2(0.5 * (a - c), uv));
  float angle = half_gap > 1e-6 * (a + c) ? 0.5 * atan(2.0 * uv, a - c) : 0.0;
  vec2 long_axis = vec2(cos(angle), sin(angle));
  vec2 lengths = sqrt(1.01 * reach * vec2(0.5 * (a + c) + half_gap, max(0.5 * (a + c) - half_gap, 0.9 * BLUR)));
  vec2 corner = vec2(gl_VertexID & 1, (gl_VertexID >> 1) & 1) * 2.0 - 1.0;
  vec2 pixel = v_mean + corner.x * lengths.x * long_axis + corner.y * lengths.y * vec2(-long_axis.y, long_axis.x);
  float depth = (u_depths.y + u_depths.x - 2.0 * u_depths.x * u_depths.y / point.z) / (u_depths.y - u_depths.x);
  gl_Position = vec4(pixel.x / u_size.x * 2.0 - 1.0, 1.0 - pixel.y / u_size.y * 2.0, clamp(depth, -1.0, 1.0), 1.0);
}`,Se=`#version 300 es
precision highp float;
uniform vec2 u_size;
flat in vec2 v_mean;
flat in vec3 v_conic;
flat in vec4 v_color;
out vec4 color;
void main() {
  vec2 d = vec2(gl_FragCoord.x, u_size.y - gl_FragCoord.y) - v_mean;
  float sigma = 0.5 * (v_conic.x * d.x * d.x + v_conic.z * d.y * d.y) + v_conic.y * d.x * d.y;
  float alpha = min(0.99, v_color.a * exp(-sigma));
  if (alpha < 1.0 / 255.0) discard;
  color = vec4(v_color.rgb * alpha, alpha);
}`,Ce=class{gl;nodes;ids;slots;textureBytes;shown=0;sorted=0;warm=!1;program;shapes;colors;harmonics;blockTable;nodeTable;blocks=[];blockRows;array;orderTable;orderFormat;colorFormat;shapeFormat;floats;constructor(e,t,n){this.gl=e,this.nodes=t,this.ids=n;let r=0;t.forEach((e,t)=>{for(let n of e.blocks)this.blocks.push({node:t,row:r,corner:[n.lower,n.upper]}),r+=Math.ceil(n.count/X)});let i=e.getParameter(e.MAX_TEXTURE_SIZE);if(r>i||this.blocks.length>i)throw Error(`This device holds at most ${i*X} splats, the scene has more.`);this.slots=r*X,this.program=new U(e,xe,Se),this.shapeFormat={internal:e.RGBA32UI,format:e.RGBA_INTEGER,type:e.UNSIGNED_INT},this.colorFormat={internal:e.RGBA8UI,format:e.RGBA_INTEGER,type:e.UNSIGNED_BYTE},this.floats={internal:e.RGBA32F,format:e.RGBA,type:e.FLOAT},e.activeTexture(e.TEXTURE0),this.shapes=W(e,this.shapeFormat,X,Math.max(1,r)),this.colors=W(e,this.colorFormat,X,Math.max(1,r));let a=be(Math.max(0,...t.map(e=>e.degree)));this.textureBytes=this.slots*(24+16*a),this.harmonics=e.createTexture(),e.bindTexture(e.TEXTURE_2D_ARRAY,this.harmonics),e.texStorage3D(e.TEXTURE_2D_ARRAY,1,e.RGBA32UI,a?X:1,a?Math.max(1,r):1,Math.max(1,a)),G(e,e.TEXTURE_2D_ARRAY),this.blockRows=new Float32Array(16*Math.max(1,this.blocks.length)),this.blockTable=W(e,this.floats,4,Math.max(1,this.blocks.length)),this.orderFormat={internal:e.R32UI,format:e.RED_INTEGER,type:e.UNSIGNED_INT},this.orderTable=W(e,this.orderFormat,X,Math.max(1,r)),this.nodeTable=W(e,this.floats,5,Math.max(1,t.length)),this.array=e.createVertexArray(),e.bindVertexArray(this.array),e.bindBuffer(e.ELEMENT_ARRAY_BUFFER,e.createBuffer());let o=Uint16Array.from({length:1536},(e,t)=>4*Math.floor(t/6)+[0,1,2,2,1,3][t%6]);e.bufferData(e.ELEMENT_ARRAY_BUFFER,o,e.STATIC_DRAW),e.bindVertexArray(null)}wanted(e,t){let n=0;return this.nodes.flatMap((r,i)=>{let a=n;return n+=r.blocks.length,r.chunks.map(n=>{let o=n.values.block,[s,c]=[a+o,r.blocks[o]],l=()=>this.mayBeSeen(s,e()),{row:u}=this.blocks[s];return n.part===`base`?{chunk:n,seen:l,job:{kind:`base`,block:c,id:s,start:u*X,node:this.ids[i],pageFromNode:r.pageFromNode},done:([e,n])=>{this.fill(this.shapes,this.shapeFormat,u,c.count,e),this.fill(this.colors,this.colorFormat,u,c.count,n);let r=c.upper.map((e,t)=>(e-c.lower[t])/65535),[a,o]=[c.logScale,c.color].map(([e,t])=>(t-e)/255);this.blockRows.set([...c.lower,c.logScale[0],...r,a,c.color[0],o],16*s),this.blockRows[16*s+11]=i,this.writeBlock(s),this.shown+=c.count,t()}}:{chunk:n,seen:l,job:{kind:`harmonics`,count:c.count,degree:r.degree},done:e=>{e.forEach((e,t)=>this.fillHarmonics(u,t,c.count,e)),this.blockRows[16*s+10]=r.degree,this.blockRows.set(n.values.scales,16*s+12),this.writeBlock(s),t()}}})})}order(e,t){this.fill(this.orderTable,this.orderFormat,0,t,e),this.sorted=t}draw(e){let t=this.shown===0&&!this.warm&&this.nodes.length>0?1:this.sorted;if(t===0)return;this.warm=!0;let{gl:n,program:r}=this;r.use(),n.activeTexture(n.TEXTURE0),n.bindTexture(n.TEXTURE_2D,this.nodeTable);let i=this.nodes.flatMap(t=>we(t,e.pose));n.texSubImage2D(n.TEXTURE_2D,0,0,0,5,this.nodes.length,n.RGBA,n.FLOAT,new Float32Array(i)),K(n,r,`u_nodes`,0,n.TEXTURE_2D,this.nodeTable),K(n,r,`u_blocks`,1,n.TEXTURE_2D,this.blockTable),K(n,r,`u_shapes`,2,n.TEXTURE_2D,this.shapes),K(n,r,`u_colors`,3,n.TEXTURE_2D,this.colors),K(n,r,`u_harmonics`,4,n.TEXTURE_2D_ARRAY,this.harmonics),K(n,r,`u_order`,5,n.TEXTURE_2D,this.orderTable),n.uniform1i(r.at(`u_count`),t),n.uniform4fv(r.at(`u_intrinsics`),e.intrinsics),n.uniform2fv(r.at(`u_size`),e.size),n.uniform2fv(r.at(`u_depths`),e.depths),n.enable(n.BLEND),n.blendFunc(n.ONE,n.ONE_MINUS_SRC_ALPHA),n.enable(n.DEPTH_TEST),n.depthMask(!1),n.bindVertexArray(this.array),n.drawElementsInstanced(n.TRIANGLES,1536,n.UNSIGNED_SHORT,0,Math.ceil(t/256)),n.bindVertexArray(null),n.depthMask(!0),n.disable(n.DEPTH_TEST),n.disable(n.BLEND)}fill(e,t,n,r,i){let{gl:a}=this;a.activeTexture(a.TEXTURE0),a.bindTexture(a.TEXTURE_2D,e),a.pixelStorei(a.UNPACK_ALIGNMENT,1);let[o,s]=[Math.floor(r/X),r%X];o&&a.texSubImage2D(a.TEXTURE_2D,0,0,n,X,o,t.format,t.type,i);let c=t.format===a.RED_INTEGER?1:4;s&&a.texSubImage2D(a.TEXTURE_2D,0,0,n+o,s,1,t.format,t.type,i,c*X*o)}fillHarmonics(e,t,n,r){let{gl:i}=this,a=new Uint32Array(r.buffer),{format:o,type:s}=this.shapeFormat;i.activeTexture(i.TEXTURE0),i.bindTexture(i.TEXTURE_2D_ARRAY,this.harmonics);let[c,l]=[Math.floor(n/X),n%X];c&&i.texSubImage3D(i.TEXTURE_2D_ARRAY,0,0,e,t,X,c,1,o,s,a),l&&i.texSubImage3D(i.TEXTURE_2D_ARRAY,0,0,e+c,t,l,1,1,o,s,a,4*X*c)}writeBlock(e){let{gl:t}=this;t.activeTexture(t.TEXTURE0),t.bindTexture(t.TEXTURE_2D,this.blockTable),t.texSubImage2D(t.TEXTURE_2D,0,0,e,4,1,t.RGBA,t.FLOAT,this.blockRows,16*e)}mayBeSeen(e,t){let{corner:n,node:r}=this.blocks[e],i=this.nodes[r].pageFromNode,[a,o]=n.map(e=>N(i,e)),s=N(F(t.pose),[0,1,2].map(e=>.5*(a[e]+o[e]))),c=.5*Math.hypot(...[0,1,2].map(e=>o[e]-a[e]));return s[2]<-c?!1:Math.hypot(s[0],s[1])-c*1.5<.5*Math.hypot(t.size[0]/t.intrinsics[0],t.size[1]/t.intrinsics[1])*Math.max(0,s[2]+c)}};function we(e,t){let n=P(F(t),e.pageFromNode),r=Math.hypot(e.pageFromNode[0],e.pageFromNode[4],e.pageFromNode[8]),i=N(F(e.pageFromNode),[t[3],t[7],t[11]]);return[...n,...i,e.near*r,r,+!!e.antialiased,0,0]}var Te=`#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
precision highp usampler3D;
precision highp sampler2DArray;
uniform usampler3D u_occupancy;  // 0: march here; n: nothing in the n - 1 cells around, nor here
uniform usampler3D u_blocks;
uniform sampler3D u_atlas[2];
uniform sampler2DArray u_planes;
uniform vec4 u_network[168];
uniform vec4 u_pose[3];          // node_from_camera, without its scale
uniform vec4 u_intrinsics;
uniform vec2 u_size;
uniform float u_extent, u_near, u_contracted, u_unit, u_scale, u_inner;
uniform vec3 u_steps;            // smallest, largest, cone
uniform vec2 u_reach;
uniform ivec3 u_counts;          // cascades, occupancy cells a side, samples at most
uniform ivec2 u_sides;           // cells of the sparse grid, vertices of a plane
uniform ivec3 u_tiles;           // blocks of the atlas
uniform sampler2D u_shapes;      // depth buffer of what is opaque
uniform vec2 u_depths;           // its near and far
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 depth;

const int SIDE = 9;
const float MANY = 1073741824.0;
float first, second, third;
int equal_steps, growing_steps;

void lattice(float near) {
  first = near + 0.5 * clamp(near * u_steps.z, u_steps.x, u_steps.y);
  equal_steps = int(MANY);
  growing_steps = 0;
  if (u_steps.z <= 0.0) return;
  float widening = u_steps.x / u_steps.z, widest = u_steps.y / u_steps.z, growth = log2(1.0 + u_steps.z);
  equal_steps = int(ceil(clamp((widening - first) / u_steps.x, 0.0, MANY)));
  second = first + float(equal_steps) * u_steps.x;
  growing_steps = int(ceil(max(0.0, log2(widest / second) / growth - 1e-5)));
  third = second * exp2(float(growing_steps) * growth);
}

float middle_of(int n, out float size) {
  float begin;
  int grown = n - equal_steps;
  if (grown < 0) {
    begin = first + float(n) * u_steps.x;
    size = u_steps.x;
  } else if (grown < growing_steps) {
    begin = second * exp2(float(grown) * log2(1.0 + u_steps.z));
    size = begin * u_steps.z;
  } else {
    begin = third + float(grown - growing_steps) * u_steps.y;
    size = u_steps.y;
  }
  return begin + 0.5 * size;
}

// The last step that is sure to have its middle before t.
int step_before(float t) {
  if (u_steps.z <= 0.0 || t <= second) return int(min((t - first) / u_steps.x - 0.5, MANY));
  if (t <= third) return equal_steps + int(log2(t / (second * (1.0 + 0.5 * u_steps.z))) / log2(1.0 + u_steps.z) - 0.01);
  return equal_steps + growing_steps + int((t - third) / u_steps.y - 0.5);
}

vec2 cube(vec3 o, vec3 d, float extent) {
  vec3 inverse = 1.0 / d;
  vec3 a = (-extent - o) * inverse, b = (extent - o) * inverse, low = min(a, b), high = max(a, b);
  return vec2(max(max(low.x, low.y), low.z), min(min(high.x, high.y), high.z));
}

vec3 normalized(vec3 p) {
  if (u_contracted > 0.5) {
    float inverse = inversesqrt(max(dot(p, p), 1.0));
    p *= (2.0 - inverse) * inverse;
  }
  return p / u_inner + 0.5;
}

// False where there is no block.
bool raw_values(vec3 unit, out vec4 a, out vec4 b) {
  vec3 scaled = unit * float(u_sides.x);
  vec3 cell = clamp(floor(scaled), 0.0, float(u_sides.x - 1));
  ivec3 at = ivec3(cell) / 8;
  int number = int(texelFetch(u_blocks, at, 0).r);
  if (number == 0) return false;
  number -= 1;
  ivec3 tile = ivec3(number % u_tiles.x, number / u_tiles.x % u_tiles.y, number / (u_tiles.x * u_tiles.y));
  vec3 where = (vec3(tile * SIDE) + scaled - vec3(at * 8) + 0.5) / vec3(u_tiles * SIDE);
  // Bytes hold steps plus 128.
  vec4 sum_a = texture(u_atlas[0], where), sum_b = texture(u_atlas[1], where);
  float side = float(u_sides.y);
  vec3 on = (unit * (side - 2.0) + 1.0) / side;
  sum_a += texture(u_planes, vec3(on.xy, 0.0)) + texture(u_planes, vec3(on.xz, 2.0)) + texture(u_planes, vec3(on.yz, 4.0));
  sum_b += texture(u_planes, vec3(on.xy, 1.0)) + texture(u_planes, vec3(on.xz, 3.0)) + texture(u_planes, vec3(on.yz, 5.0));
  vec4 steps = vec4(u_reach.x, u_reach.yyy) / 127.0;
  a = (sum_a * 255.0 - 4.0 * 128.0) * steps;
  b = (sum_b * 255.0 - 4.0 * 128.0) * steps.y;
  return true;
}

vec3 shade(vec3 diffuse, vec4 seen, vec3 d) {
  float x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z;
  float i[24];
  i[0] = diffuse.x; i[1] = diffuse.y; i[2] = diffuse.z;
  i[3] = seen.x; i[4] = seen.y; i[5] = seen.z; i[6] = seen.w;
  i[7] = 0.28209479177387814;
  i[8] = -0.4886025119029199 * y; i[9] = 0.4886025119029199 * z; i[10] = -0.4886025119029199 * x;
  i[11] = 1.0925484305920792 * x * y; i[12] = -1.0925484305920792 * y * z;
  i[13] = 0.31539156525252005 * (2.0 * zz - xx - yy);
  i[14] = -1.0925484305920792 * x * z; i[15] = 0.5462742152960396 * (xx - yy);
  i[16] = -0.5900435899266435 * y * (3.0 * xx - yy); i[17] = 2.890611442640554 * x * y * z;
  i[18] = -0.4570457994644658 * y * (4.0 * zz - xx - yy);
  i[19] = 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy);
  i[20] = -0.4570457994644658 * x * (4.0 * zz - xx - yy);
  i[21] = 1.445305721320277 * z * (xx - yy); i[22] = -0.5900435899266435 * x * (xx - 3.0 * yy);
  vec4 hidden[4], more[4];
  for (int k = 0; k < 4; k++) hidden[k] = vec4(0.0);
  // u_network: per input, the weights to all outputs, four at a time.
  for (int j = 0; j < 23; j++) for (int k = 0; k < 4; k++) hidden[k] += i[j] * u_network[4 * j + k];
  for (int k = 0; k < 4; k++) { hidden[k] = max(hidden[k], 0.0); more[k] = vec4(0.0); }
  for (int j = 0; j < 16; j++) for (int k = 0; k < 4; k++) more[k] += hidden[j >> 2][j & 3] * u_network[92 + 4 * j + k];
  vec3 sum = vec3(0.0);
  for (int j = 0; j < 16; j++) {
    float value = max(more[j >> 2][j & 3], 0.0);
    for (int c = 0; c < 3; c++) sum[c] += value * u_network[156 + ((3 * j + c) >> 2)][(3 * j + c) & 3];
  }
  return tanh(sum);
}

void main() {
  color = vec4(0.0);
  depth = vec4(0.0);
  vec2 pixel = vec2(gl_FragCoord.x, u_size.y - gl_FragCoord.y);
  vec3 local = vec3((pixel - u_intrinsics.zw) / u_intrinsics.xy, 1.0);
  float per_z = length(local);
  vec3 d = vec3(dot(u_pose[0].xyz, local), dot(u_pose[1].xyz, local), dot(u_pose[2].xyz, local)) / per_z;
  vec3 o = vec3(u_pose[0].w, u_pose[1].w, u_pose[2].w);
  vec2 span = cube(o, d, u_extent);
  float near = max(max(span.x, 0.0), u_near), far = span.y;
  float wall = texelFetch(u_shapes, ivec2(gl_FragCoord.xy), 0).r;
  if (wall < 1.0) {
    float z = u_depths.x * u_depths.y / (u_depths.y - wall * (u_depths.y - u_depths.x));
    far = min(far, z * per_z / u_scale);
  }
  if (!(near < far)) return;
  lattice(near);
  vec3 along = mix(d, vec3(1e-9), lessThan(abs(d), vec3(1e-9)));

  float light = 1.0, distances = 0.0;
  vec3 diffuse = vec3(0.0);
  vec4 seen = vec4(0.0);
  int n = 0, samples = 0, grid = u_counts.y;
  for (int i = 0; i < 8192; i++) {
    float size, t = middle_of(n, size);
    if (t >= far || samples >= u_counts.z || light < 1e-4) break;
    vec3 p = o + t * d;
    float reach = max(max(abs(p.x), abs(p.y)), abs(p.z)), half_side = 1.0, cell = 2.0 / float(grid);
    int k = 0;
    while (k < u_counts.x && reach > half_side) { half_side *= 2.0; k++; }
    if (k >= u_counts.x) { n++; continue; }
    while (k < u_counts.x - 1 && size > cell * half_side) { half_side *= 2.0; k++; }
    vec3 in_cells = (p / half_side + 1.0) * (0.5 * float(grid));
    ivec3 at = clamp(ivec3(in_cells), 0, grid - 1);
    int empty = int(texelFetch(u_occupancy, ivec3(at.xy, at.z + k * grid), 0).r);
    if (empty > 0) {
      // To the far side of the cells that are empty here, but not to where longer steps ask a coarser cascade.
      vec3 low = vec3(at - empty + 1), high = vec3(at + empty);
      vec3 to = (mix(low, high, greaterThan(along, vec3(0.0))) - in_cells) / along;
      float leap = t + min(min(to.x, to.y), to.z) * 2.0 / float(grid) * half_side;
      if (u_steps.z > 0.0 && k < u_counts.x - 1) leap = min(leap, max(t, cell * half_side / u_steps.z));
      n = max(n + 1, step_before(leap));
      continue;
    }
    n++;
    samples++;
    vec4 a, b;
    if (!raw_values(normalized(p), a, b)) continue;
    float alpha = 1.0 - exp(-exp(a.x) / u_unit * size);
    float weight = alpha * light;
    light -= weight;
    distances += weight * t;
    diffuse += weight / (1.0 + exp(-a.yzw));
    seen += weight / (1.0 + exp(-b));
  }
  float opacity = 1.0 - light;
  if (opacity <= 0.0) return;
  color = vec4(diffuse + opacity * shade(diffuse, seen, d), opacity);
  // In units of the near plane, for half floats; blending keeps the nearer volume's where this one is transparent.
  if (opacity > 0.5) depth = vec4(distances / opacity / per_z * u_scale / u_depths.x, 0.0, 0.0, 1.0);
}`,Ee=`#version 300 es
precision highp float;
uniform sampler2D u_volume_depth;
uniform vec2 u_depths;
void main() {
  float z = texelFetch(u_volume_depth, ivec2(gl_FragCoord.xy), 0).r * u_depths.x;
  if (z <= 0.0) discard;
  gl_FragDepth = clamp(u_depths.y * (z - u_depths.x) / (z * (u_depths.y - u_depths.x)), 0.0, 1.0);
}`,De=class{gl;nodes;shown=0;textureBytes;march;deepen;buffer;held;depth=null;size=[0,0];constructor(e,t){this.gl=e,this.nodes=t,this.march=new U(e,J,Te),this.deepen=new U(e,J,Ee),this.buffer=e.createFramebuffer(),this.held=t.map(e=>this.room(e));let n=t.flatMap(e=>[`occupancy`,`blocks`,`atlas`,`planes`].map(t=>g(e,t)));this.textureBytes=n.reduce((e,[t,n])=>e+t*n,0)}wanted(e){return this.nodes.flatMap((t,n)=>t.chunks.map(r=>{let[i,a]=[r.values.first,r.values.count];return{chunk:r,job:{kind:`raw`},seen:()=>!0,done:([o])=>{this.fill(t,this.held[n],r.part,i,a,o),--this.held[n].missing===0&&(this.shown+=1),e()}}}))}draw(e,t,n,r){let i=e=>this.held[e].missing===0,a=this.nodes.map((e,t)=>t).filter(e=>i(e)&&!n(e)&&!(this.nodes[e].standsIn&&i(e+1)));if(a.length===0)return;let{gl:o,march:s}=this;this.attach(t),o.clearBufferfv(o.COLOR,1,[0,0,0,0]),s.use(),o.uniform4fv(s.at(`u_intrinsics`),e.intrinsics),o.uniform2fv(s.at(`u_size`),e.size),o.uniform2fv(s.at(`u_depths`),e.depths),K(o,s,`u_shapes`,0,o.TEXTURE_2D,t.depth),o.enable(o.BLEND),o.blendFunc(o.ONE,o.ONE_MINUS_SRC_ALPHA);let c=t=>P(F(e.pose),this.nodes[t].pageFromNode)[11];for(let t of a.sort((e,t)=>c(t)-c(e)))this.drawNode(this.nodes[t],this.held[t],e);o.disable(o.BLEND),t.bind(t.width,t.height),r&&this.writeDepth(e)}drawNode(e,t,n){let{gl:r,march:i}=this,a=P(F(e.pageFromNode),n.pose),o=1/Math.hypot(a[0],a[4],a[8]);r.uniform4fv(i.at(`u_pose`),a.map((e,t)=>t%4==3?e:e*o));let s={extent:e.extent,near:e.near,contracted:+!!e.contracted,unit:e.unit,scale:o};for(let[e,t]of Object.entries(s))r.uniform1f(i.at(`u_${e}`),t);r.uniform1f(i.at(`u_inner`),2*(e.contracted?2:e.extent)),r.uniform3fv(i.at(`u_steps`),e.steps),r.uniform2fv(i.at(`u_reach`),e.reach),r.uniform3i(i.at(`u_counts`),e.cascades,e.grid,e.maxSamples),r.uniform2i(i.at(`u_sides`),e.resolution,e.planes),r.uniform3iv(i.at(`u_tiles`),e.atlas),r.uniform4fv(i.at(`u_network`),t.network),K(r,i,`u_occupancy`,1,r.TEXTURE_3D,t.occupancy),K(r,i,`u_blocks`,2,r.TEXTURE_3D,t.blocks),K(r,i,`u_planes`,3,r.TEXTURE_2D_ARRAY,t.planes),t.atlas.forEach((e,t)=>K(r,i,`u_atlas[${t}]`,4+t,r.TEXTURE_3D,e)),r.drawArrays(r.TRIANGLES,0,3)}attach(e){let{gl:t}=this;t.bindFramebuffer(t.FRAMEBUFFER,this.buffer),(this.size[0]!==e.width||this.size[1]!==e.height)&&(t.deleteTexture(this.depth),this.size=[e.width,e.height],t.activeTexture(t.TEXTURE0),this.depth=W(t,{internal:t.R16F,format:t.RED,type:t.HALF_FLOAT},e.width,e.height),t.framebufferTexture2D(t.FRAMEBUFFER,t.COLOR_ATTACHMENT1,t.TEXTURE_2D,this.depth,0)),t.framebufferTexture2D(t.FRAMEBUFFER,t.COLOR_ATTACHMENT0,t.TEXTURE_2D,e.color,0),t.drawBuffers([t.COLOR_ATTACHMENT0,t.COLOR_ATTACHMENT1])}writeDepth(e){let{gl:t,deepen:n}=this;n.use(),t.uniform2fv(n.at(`u_depths`),e.depths),K(t,n,`u_volume_depth`,0,t.TEXTURE_2D,this.depth),t.enable(t.DEPTH_TEST),t.colorMask(!1,!1,!1,!1),t.drawArrays(t.TRIANGLES,0,3),t.colorMask(!0,!0,!0,!0),t.disable(t.DEPTH_TEST)}fill(e,t,n,r,i,a){let{gl:o}=this;if(o.activeTexture(o.TEXTURE0),o.pixelStorei(o.UNPACK_ALIGNMENT,1),n===`network`)t.network.set(new Float32Array(a.buffer,a.byteOffset,672));else if(n===`occupancy`)o.bindTexture(o.TEXTURE_3D,t.occupancy),o.texSubImage3D(o.TEXTURE_3D,0,0,0,r,e.grid,e.grid,i,o.RED_INTEGER,o.UNSIGNED_BYTE,a);else if(n===`blocks`){let n=e.resolution/8,s=new Uint16Array(a.buffer,a.byteOffset,i*n*n);o.bindTexture(o.TEXTURE_3D,t.blocks),o.texSubImage3D(o.TEXTURE_3D,0,0,0,r,n,n,i,o.RED_INTEGER,o.UNSIGNED_SHORT,s)}else if(n===`planes`){o.bindTexture(o.TEXTURE_2D_ARRAY,t.planes);for(let t=r;t<r+i;t++){let[n,i]=[Math.floor(t/e.planes),t%e.planes],s=4*e.planes*(t-r);o.texSubImage3D(o.TEXTURE_2D_ARRAY,0,0,i,n,e.planes,1,1,o.RGBA,o.UNSIGNED_BYTE,a,s)}}else{let[n,s,c]=e.atlas.map(e=>e*9);for(let e=r;e<r+i;e++)o.bindTexture(o.TEXTURE_3D,t.atlas[e<c?0:1]),o.texSubImage3D(o.TEXTURE_3D,0,0,0,e%c,n,s,1,o.RGBA,o.UNSIGNED_BYTE,a,4*n*s*(e-r))}}room(e){let{gl:t}=this,n=t.getParameter(t.MAX_3D_TEXTURE_SIZE),r=t.getParameter(t.MAX_TEXTURE_SIZE),i=e.atlas.map(e=>e*9);if(Math.max(...i,g(e,`occupancy`)[0])>n||e.planes>r)throw Error(`"${e.name}" is finer than this device's textures; export it with a lower resolution.`);let a=(e,n,r,[i,a,o])=>{let s=t.createTexture();return t.activeTexture(t.TEXTURE0),t.bindTexture(e,s),t.texStorage3D(e,1,n,i,a,o),G(t,e,r),s},o=e.resolution/8;return{occupancy:a(t.TEXTURE_3D,t.R8UI,t.NEAREST,[e.grid,e.grid,e.grid*e.cascades]),blocks:a(t.TEXTURE_3D,t.R16UI,t.NEAREST,[o,o,o]),atlas:[a(t.TEXTURE_3D,t.RGBA8,t.LINEAR,i),a(t.TEXTURE_3D,t.RGBA8,t.LINEAR,i)],planes:a(t.TEXTURE_2D_ARRAY,t.RGBA8,t.LINEAR,[e.planes,e.planes,6]),network:new Float32Array(672),missing:e.chunks.length}}},Oe=`#version 300 es
precision highp float;
uniform sampler2D u_picture;
uniform vec3 u_background;
uniform vec2 u_scale;
out vec4 color;
void main() {
  vec4 seen = texture(u_picture, gl_FragCoord.xy * u_scale);
  color = vec4(seen.rgb + (1.0 - seen.a) * u_background, 1.0);
}`,ke=class{gl;manifest;splats;hidden;shapes;shapeIds;volumes;volumeIds;resolve;picture;photograph;constructor(e,t){this.gl=e,this.manifest=t;let{nodes:n}=t,r=(...e)=>n.flatMap((t,n)=>e.includes(t.kind)?[n]:[]),i=r(`splats`);this.shapeIds=r(`points`,`lines`,`mesh`),this.splats=new Ce(e,i.map(e=>n[e]),i),this.shapes=new ye(e,this.shapeIds.map(e=>n[e])),this.volumeIds=r(`volume`);let{volumeIds:a}=this;this.volumes=a.length?new De(e,a.map(e=>n[e])):null,this.hidden=new Set(n.flatMap((e,t)=>e.visible?[]:[t])),this.resolve=new U(e,J,Oe);let o=[`EXT_color_buffer_float`,`EXT_float_blend`,`OES_texture_float_linear`].every(t=>e.getExtension(t)),s=i.length===0&&o?{internal:e.RGBA32F,type:e.FLOAT}:{internal:e.RGBA16F,type:e.HALF_FLOAT};this.picture=new q(e,{...s,format:e.RGBA},!0),this.photograph=new q(e,{internal:e.RGBA8,format:e.RGBA,type:e.UNSIGNED_BYTE},!1)}wanted(e,t){let n=()=>t(!1);return[...this.splats.wanted(e,()=>t(!0)),...this.shapes.wanted(n),...this.volumes?.wanted(n)??[]]}show(e,t,n){let{gl:r}=this;this.draw(e),r.bindFramebuffer(r.FRAMEBUFFER,null),r.viewport(0,0,t,n),this.finish(t,n)}get textureBytes(){return this.splats.textureBytes+(this.volumes?.textureBytes??0)}get drew(){return this.splats.sorted>0||(this.volumes?.shown??0)>0}take(e){let{gl:t}=this,[n,r]=e.size;this.draw(e),this.photograph.bind(n,r),this.finish(n,r);let i=new Uint8Array(4*n*r);t.readPixels(0,0,n,r,t.RGBA,t.UNSIGNED_BYTE,i);let a=new Uint8Array(i.length);for(let e=0;e<r;e++)a.set(i.subarray(4*n*e,4*n*(e+1)),4*n*(r-1-e));return a}draw(e){let{gl:t}=this;this.picture.bind(e.size[0],e.size[1]),t.clearColor(0,0,0,0),t.clear(t.COLOR_BUFFER_BIT|t.DEPTH_BUFFER_BIT),this.shapes.draw(e,e=>this.hidden.has(this.shapeIds[e]));let{picture:n,volumeIds:r}=this;this.volumes?.draw(e,n,e=>this.hidden.has(r[e]),this.splats.sorted>0),this.splats.draw(e)}finish(e,t){let{gl:n,resolve:r}=this;r.use(),K(n,r,`u_picture`,0,n.TEXTURE_2D,this.picture.color);let i=e===this.picture.width&&t===this.picture.height?n.NEAREST:n.LINEAR;n.texParameteri(n.TEXTURE_2D,n.TEXTURE_MAG_FILTER,i),n.texParameteri(n.TEXTURE_2D,n.TEXTURE_MIN_FILTER,i),n.uniform2f(r.at(`u_scale`),1/e,1/t),n.uniform3fv(r.at(`u_background`),this.manifest.background),n.drawArrays(n.TRIANGLES,0,3)}},Z="(function(){function e(e,t){return[e[0]*t[0]+e[1]*t[1]+e[2]*t[2]+e[3],e[4]*t[0]+e[5]*t[1]+e[6]*t[2]+e[7],e[8]*t[0]+e[9]*t[1]+e[10]*t[2]+e[11]]}let t=e=>[0,1,2,3][e];function n(t,n,r,i){let a=n.count,o=new DataView(t.buffer,t.byteOffset,t.byteLength),s=new Uint32Array(4*a),c=new Float32Array(3*a),l=n.upper.map((e,t)=>(e-n.lower[t])/65535),u=e(i,n.lower),d=[0,1,2].flatMap(e=>l.map((t,n)=>i[4*e+n]*t)),f=6*a,p=9*a;for(let e=0;e<a;e++){let n=o.getUint16(2*e,!0),i=o.getUint16(2*(a+e),!0),l=o.getUint16(2*(2*a+e),!0);s[4*e]=n|i<<16,s[4*e+1]=l|t[f+e]<<16|t[f+a+e]<<24,s[4*e+2]=o.getUint32(p+4*e,!0),s[4*e+3]=t[f+2*a+e]|r<<8;for(let t=0;t<3;t++)c[3*e+t]=d[3*t]*n+d[3*t+1]*i+d[3*t+2]*l+u[t]}let m=new Uint8Array(4*a);for(let e=0;e<4;e++)for(let n=0;n<a;n++)m[4*n+e]=t[13*a+e*a+n];return{shapes:s,colors:m,positions:c}}function r(e,n,r){let i=3*((r+1)**2-1),a=Array.from({length:t(r)},()=>new Uint8Array(16*n));for(let t=0;t<i;t++){let r=a[t>>4],i=t&15;for(let a=0;a<n;a++)r[16*a+i]=e[t*n+a]}return a}var i=class{keys;spareKeys;spare;floats;low=/* @__PURE__ */ new Uint32Array(65536);high=/* @__PURE__ */ new Uint32Array(65536);constructor(e){this.keys=new Uint32Array(e),this.floats=new Float32Array(this.keys.buffer),this.spareKeys=new Uint32Array(e),this.spare=new Uint32Array(e)}sort(e,t,n,r){let{keys:i,floats:a,low:o,high:s}=this;o.fill(0),s.fill(0);let[c,l,u,d]=n,f=0;for(let n=t.length-1;n>=0;n--){let[r,p]=t[n];for(let t=p-1;t>=r;t--){let n=c*e[3*t]+l*e[3*t+1]+u*e[3*t+2]+d;if(!(n>0))continue;a[f]=n;let r=~i[f]>>>0;i[f]=r,this.spare[f++]=t,o[r&65535]++,s[r>>>16]++}}for(let e=0,t=0,n=0;e<65536;e++){let[r,i]=[t+o[e],n+s[e]];o[e]=t,s[e]=n,t=r,n=i}for(let e=0;e<f;e++){let t=o[i[e]&65535]++;this.spareKeys[t]=i[e],r[t]=this.spare[e]}this.spare.set(r.subarray(0,f));for(let e=0;e<f;e++)r[s[this.spareKeys[e]>>>16]++]=this.spare[e];return f}};let a=[];for(let e=2;a.length<64;e++)a.every(t=>e%t)&&a.push(e);let o=e=>(e-Math.floor(e))*4294967296|0,s=new Int32Array(a.map(e=>o(Math.cbrt(e)))),c=a.slice(0,8).map(e=>o(Math.sqrt(e))),l=(e,t)=>e>>>t|e<<32-t;function u(e,t){for(let e=16;e<64;e++){let n=t[e-15],r=t[e-2],i=l(n,7)^l(n,18)^n>>>3,a=l(r,17)^l(r,19)^r>>>10;t[e]=t[e-16]+i+t[e-7]+a|0}let[n,r,i,a,o,c,u,d]=e;for(let e=0;e<64;e++){let f=l(o,6)^l(o,11)^l(o,25),p=d+f+(o&c^~o&u)+s[e]+t[e]|0,m=(l(n,2)^l(n,13)^l(n,22))+(n&r^n&i^r&i)|0;d=u,u=c,c=o,o=a+p|0,a=i,i=r,r=n,n=p+m|0}let f=[n,r,i,a,o,c,u,d];for(let t=0;t<8;t++)e[t]+=f[t]}function d(e){let t=e.length&-64,n=new Uint8Array(e.length-t<56?64:128);n.set(e.subarray(t)),n[e.length-t]=128;let r=new DataView(n.buffer,n.length-8);r.setUint32(0,Math.floor(e.length/536870912)),r.setUint32(4,e.length<<3>>>0);let i=new Int32Array(c),a=/* @__PURE__ */ new Int32Array(64);for(let r of[e.subarray(0,t),n]){let e=new DataView(r.buffer,r.byteOffset,r.byteLength);for(let t=0;t<r.length;t+=64){for(let n=0;n<16;n++)a[n]=e.getInt32(t+4*n);u(i,a)}}return[...i].map(e=>(e>>>0).toString(16).padStart(8,`0`)).join(``)}var f=class extends Error{};async function p(e,t,n,r){let i=t[0]===31&&t[1]===139?await m(e,t,n):t;if(i.length!==n)throw new f(`${e}: wanted ${n} bytes, found ${i.length}`);if(d(i)!==r)throw new f(`${e}: it is damaged, its SHA-256 is another one`);return i}async function m(e,t,n){let r=new Uint8Array(n),i=0,a=new Blob([t]).stream().pipeThrough(new DecompressionStream(`gzip`)).getReader();try{for(;;){let{done:t,value:o}=await a.read();if(t)return r.subarray(0,i);if(i+o.length>n)throw new f(`${e}: it unpacks to more than ${n} bytes`);r.set(o,i),i+=o.length}}catch(t){throw t instanceof f?t:new f(`${e}: it cannot be unpacked, it is damaged or cut short`)}finally{await a.cancel().catch(()=>void 0)}}let h=globalThis,g=/* @__PURE__ */ new Float32Array,_=new i(0),v=[];function y(e,t){if(t.kind===`raw`)return[e];if(t.kind===`harmonics`)return r(e,t.count,t.degree);let i=n(e,t.block,t.id,t.pageFromNode);return g.set(i.positions,3*t.start),v.push({start:t.start,end:t.start+t.block.count,node:t.node}),v.sort((e,t)=>e.start-t.start),[i.shapes,i.colors]}async function b(e){try{let t=y(await p(e.file,e.packed,e.rawBytes,e.sha256),e.job);h.postMessage({type:`chunk`,id:e.id,parts:t},t.map(e=>e.buffer))}catch(t){h.postMessage({type:`failed`,id:e.id,sentence:String(t.message)},[])}}h.onmessage=({data:e})=>{if(e.type===`room`)g=new Float32Array(3*e.splats),_=new i(e.splats);else if(e.type===`chunk`)b(e);else{let t=performance.now(),n=v.filter(t=>!e.hidden.includes(t.node)).map(({start:e,end:t})=>[e,t]),r=_.sort(g,n,e.row,e.order),i=performance.now()-t;h.postMessage({type:`order`,order:e.order,count:r,ms:i},[e.order.buffer])}}})();",Q=typeof self<`u`&&self.Blob&&new Blob([`(self.URL || self.webkitURL).revokeObjectURL(self.location.href);`,Z],{type:`text/javascript;charset=utf-8`});function Ae(e){let t;try{if(t=Q&&(self.URL||self.webkitURL).createObjectURL(Q),!t)throw``;let n=new Worker(t,{name:e?.name});return n.addEventListener(`error`,()=>{(self.URL||self.webkitURL).revokeObjectURL(t)}),n}catch{return new Worker(`data:text/javascript;charset=utf-8,`+encodeURIComponent(Z),{name:e?.name})}}var $=150,je=class{canvas;manifest;loaded;gl;stage;viewpoint;controls;panel;loader;sorter;pace;calm=matchMedia(`(prefers-reduced-motion: reduce)`).matches;dirty=!0;scheduled=!1;movedAt=-1e9;posing=Promise.resolve();isPosing=!1;pictured=!1;firstPicture=0;firstBytes=0;loadedAt=0;trouble=null;finish=null;constructor(t,n,r){this.canvas=t,this.manifest=n,document.title=n.title;let i=new Ae;this.gl=H(t),this.stage=new ke(this.gl,n),this.pace=new de(this.gl),this.viewpoint=new se(n);let a=n.nodes.map(({name:e,kind:t,visible:n},r)=>({name:e,kind:t,visible:n,index:r})).filter(({index:e})=>!this.standsIn(e));this.panel=new pe(n.title,a,{bookmark:e=>this.goTo(this.viewpoint.bookmark+e),reset:()=>this.goTo(n.initial),mode:()=>this.changeMode(),photograph:()=>void this.save(),figures:()=>this.figures(),toggle:e=>this.toggle(e)}),this.panel.camera(n.bookmarks[n.initial].name),this.controls=new V(t,this.viewpoint,()=>this.moved(),e=>this.pressed(e));let o=(e,t)=>i.postMessage(e,t);i.onmessage=({data:e})=>this.receive(e),i.onerror=e=>this.fail(`The worker of this page does not run: ${e.message}`),this.sorter=new he(this.stage.splats.slots,o,(e,t)=>{this.stage.splats.order(e,t),this.wake()});let s=this.stage.wanted(()=>this.view(64,48),e=>this.arrived(e));s.sort((e,t)=>e.chunk.level-t.chunk.level),this.loader=new e(s,r,o,e=>this.fail(e)),this.loaded=new Promise((e,t)=>this.finish={resolve:e,reject:t}),this.loaded.catch(()=>void 0),t.addEventListener(`webglcontextlost`,e=>{e.preventDefault(),this.fail(`The graphics card took the picture away, perhaps for want of memory; reload the page.`)}),new ResizeObserver(()=>this.wake()).observe(t),this.loader.start(),this.settle(),this.wake()}statistics(){let{progress:e}=this.loader;return{splats:this.stage.splats.shown,drawn:this.sorter.count,sortMs:this.sorter.ms,frameMs:this.pace.frameMs,chunks:e.loaded,totalChunks:e.total,bytes:e.bytes,totalBytes:e.totalBytes,firstPictureMs:this.firstPicture,firstPictureBytes:this.firstBytes,loadedMs:this.loadedAt,textureBytes:this.stage.textureBytes,workerBytes:28*this.stage.splats.slots}}async photograph(e){let t=this.viewpoint.seen(e.pose,e.intrinsics,e.size),n=this.posing.then(async()=>{this.isPosing=!0,this.sort(t),await this.sorter.whenSettled();let e=this.stage.take(t);return this.isPosing=!1,this.wake(),e});return this.posing=n.catch(()=>void 0),n}show(e){this.goTo(e)}view(e,t){return this.viewpoint.view(e,t)}arrived(e){e&&(this.sorter.forget(),this.isPosing||this.sort(this.view(this.canvas.width,this.canvas.height))),this.panel.progress(this.loader.progress.loaded/this.loader.progress.total),this.settle(),this.wake()}settle(){let{loaded:e,total:t}=this.loader.progress;e<t||this.loadedAt||(this.loadedAt=performance.now(),this.panel.progress(1),this.finish?.resolve())}receive(e){e.type===`order`?this.sorter.receive(e):this.loader.receive(e)}fail(e){this.trouble??=e,this.panel.trouble(this.trouble),this.finish?.reject(Error(e))}moved(){this.movedAt=performance.now(),this.wake()}wake(){this.dirty=!0,this.scheduled||(this.scheduled=!0,requestAnimationFrame(e=>{try{this.frame(e)}catch(e){this.fail(e.message)}}))}frame(e){this.scheduled=!1,this.controls.step(e),this.viewpoint.fly(e)&&(this.movedAt=e);let t=this.controls.active||e-this.movedAt<$;if(this.pace.busy||this.isPosing||this.firstPicture&&!this.loadedAt&&!t&&this.pace.resting(e))return this.wake();!this.firstPicture&&this.pace.finished>0&&this.pictured&&(this.firstPicture=e);let n=this.dirty;this.dirty=!1,n&&this.draw(t),(t||this.pictured&&!this.firstPicture)&&this.wake()}draw(e){let t=Math.min(2,window.devicePixelRatio||1),[n,r]=[this.canvas.clientWidth,this.canvas.clientHeight].map(e=>Math.max(1,Math.round(e*t)));(this.canvas.width!==n||this.canvas.height!==r)&&Object.assign(this.canvas,{width:n,height:r});let[i,a]=this.pace.size(n,r,e),o=this.view(i,a);this.sort(o);let s=performance.now();this.stage.show(o,n,r),this.pace.drawn(s,e),!this.pictured&&this.stage.drew&&(this.pictured=!0,this.firstBytes=this.loader.progress.bytes),this.panel.statistics(this.lines(i,a))}sort(e){this.stage.splats.shown!==0&&this.sorter.ask(F(e.pose).slice(8),[...this.stage.hidden])}lines(e,t){let n=this.statistics(),r=e=>(e/1e6).toFixed(1);return[`${n.splats.toLocaleString()} splats, ${n.drawn.toLocaleString()} in front`,`sort ${n.sortMs.toFixed(1)} ms, frame ${n.frameMs.toFixed(1)} ms at ${e}x${t}`,`${n.chunks} of ${n.totalChunks} chunks, ${r(n.bytes)} of ${r(n.totalBytes)} MB`,`${r(n.textureBytes)} MB of textures, ${r(n.workerBytes)} MB for sorting`,`first picture after ${(n.firstPictureMs/1e3).toFixed(2)} s, all after ${n.loadedMs?(n.loadedMs/1e3).toFixed(2):`…`} s`]}goTo(e){this.viewpoint.show(e,performance.now(),this.calm),this.panel.camera(this.manifest.bookmarks[this.viewpoint.bookmark].name),this.moved()}changeMode(){this.viewpoint.mode=this.viewpoint.mode===`orbit`?`fly`:`orbit`,this.panel.mode(this.viewpoint.mode)}figures(){this.panel.toggleFigures(),this.panel.statistics(this.lines(this.canvas.width,this.canvas.height))}standsIn(e){let t=this.manifest.nodes[e];return t?.kind===`volume`&&t.standsIn}toggle(e){let{hidden:t}=this.stage,n=t.has(e)?e=>t.delete(e):e=>t.add(e);n(e),this.standsIn(e-1)&&n(e-1),this.wake()}pressed(e){({f:()=>this.changeMode(),n:()=>this.goTo(this.viewpoint.bookmark+1),p:()=>this.goTo(this.viewpoint.bookmark-1),r:()=>this.goTo(this.manifest.initial),i:()=>this.figures(),h:()=>this.panel.toggleHelp(),c:()=>void this.save()})[e]?.(),/^[1-9]$/.test(e)&&Number(e)<=this.manifest.bookmarks.length&&this.goTo(Number(e)-1)}async save(){let{width:e,height:t}=this.canvas,n=this.view(e,t),r=await this.photograph(n),i=document.createElement(`canvas`);Object.assign(i,{width:e,height:t}),i.getContext(`2d`).putImageData(new ImageData(new Uint8ClampedArray(r),e,t),0,0);let a=document.createElement(`a`);a.download=`scene.png`,a.href=i.toDataURL(`image/png`),a.click()}},Me=8<<20;async function Ne(){let e=document.getElementById(`scene.json`);if(e){let t=v(e.textContent??``);return{manifest:t,source:i(t.nodes.flatMap(e=>e.chunks.map(e=>e.file)))}}if(location.protocol===`file:`)throw Error(`Browsers do not let a page from disk read the files beside it; serve the folder, or export a single .html file.`);let t=r(location.href),a=await t(`scene.json`,Me).catch(e=>{throw Error(`scene.json cannot be read: ${e.message}`)}),o=v(new TextDecoder().decode(a));return{manifest:o,source:n(t,o.nodes.flatMap(e=>e.chunks))}}Ne().then(({manifest:e,source:t})=>{let n=document.getElementById(`view`);window.scenekit=new je(n,e,t)}).catch(e=>me(e.message))})();