// The scene: light, floor, bodies and the camera that looks at them.

const BACKGROUND = 0xe9ecef;
const GRID_COLOUR = 0xbcc3c9;
const LEAST_EXTENT = 2; // m

/** The box around all people's pelvises, from the floor to above their heads. */
function boundsOf(people) {
  const box = new THREE.Box3();
  for (const { arrays } of people) {
    box.union(new THREE.Box3().setFromArray(arrays.root));
  }
  box.expandByVector(new THREE.Vector3(0.5, 0, 0.5));
  box.min.y = Math.min(box.min.y, 0);
  box.max.y += 0.9;
  return box;
}

/**
 * Lines 1 m apart. They are cut where they cross, because some drivers leave out a line
 * that reaches behind the camera.
 */
function makeGrid(metres) {
  const points = [];
  for (let i = 0; i <= metres; i++) {
    for (let j = 0; j < metres; j++) {
      const [across, start] = [i - metres / 2, j - metres / 2];
      points.push(across, 0, start, across, 0, start + 1);
      points.push(start, 0, across, start + 1, 0, across);
    }
  }
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.Float32BufferAttribute(points, 3));
  const material = new THREE.LineBasicMaterial({ color: GRID_COLOUR });
  return new THREE.LineSegments(geometry, material);
}

class Stage {
  #waiting = false;

  constructor(canvas, bodies, data) {
    this.canvas = canvas;
    this.bodies = bodies;
    this.video = data.camera;
    this.bounds = boundsOf(data.people);
    this.scene = new THREE.Scene();
    this.scene.background = new THREE.Color(BACKGROUND);
    this.camera = new THREE.PerspectiveCamera(40, 1, 0.05, 500);
    this.sun = this.#addLight();
    this.grid = this.#addFloor();
    for (const body of bodies) this.scene.add(body.group);
    this.orbit = new Orbit(this.camera, canvas, () => this.draw());
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = THREE.PCFSoftShadowMap;
    new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
    this.#resize();
  }

  /** Draws at the next refresh of the screen, once for all changes until then. */
  draw() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.renderer.render(this.scene, this.camera);
    });
  }

  /** Looks from the video's camera, or so that all paths are in view. */
  view(name, middle) {
    const { position, forward } = this.video;
    const from = new THREE.Vector3(...position);
    const ahead = new THREE.Vector3(...forward);
    this.camera.fov = this.#fovOf(this.video);
    this.camera.updateProjectionMatrix();
    if (name === "camera") {
      const depth = Math.max(middle.clone().sub(from).dot(ahead), 1);
      this.orbit.look(from, from.clone().addScaledVector(ahead, depth));
      return;
    }
    const size = this.bounds.getSize(new THREE.Vector3());
    const across = Math.max(size.x, size.z, LEAST_EXTENT);
    const slope = Math.tan((this.camera.fov * Math.PI) / 360);
    const high = name === "top" ? across : Math.max(size.y, LEAST_EXTENT);
    const half = Math.max(high, across / this.camera.aspect) / 2;
    const distance = half / slope + across / 2;
    const level = ahead.setY(0).normalize().negate();
    const direction = {
      front: level.clone().setY(0.25),
      side: new THREE.Vector3(-level.z, 0.12, level.x),
      top: level.clone().multiplyScalar(0.01).setY(1),
    }[name].normalize();
    const centre = this.bounds.getCenter(new THREE.Vector3());
    this.orbit.look(centre.clone().addScaledVector(direction, distance), centre);
  }

  /** Moves the light, whose shadows reach some metres, and perhaps the view. */
  follow(middle, moves) {
    if (moves) {
      this.orbit.target.x += middle.x - this.sun.target.position.x;
      this.orbit.target.z += middle.z - this.sun.target.position.z;
      this.orbit.update();
    }
    this.sun.target.position.copy(middle).setY(0);
    this.sun.position.copy(this.sun.target.position).add(this.sunward);
  }

  /** The vertical angle, degrees, in which all of the video's picture is seen. */
  #fovOf({ fov, aspect }) {
    const slope = Math.tan((fov * Math.PI) / 360);
    const wider = Math.max(aspect / this.camera.aspect, 1);
    return Math.min((Math.atan(slope * wider) * 360) / Math.PI, 110);
  }

  #addLight() {
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0xb4bbc2, 0.8));
    const sun = new THREE.DirectionalLight(0xffffff, 0.55);
    const level = new THREE.Vector3(...this.video.forward).setY(0).normalize();
    this.sunward = new THREE.Vector3(-level.z, 0, level.x).sub(level).setY(4);
    sun.castShadow = true;
    sun.shadow.mapSize.set(2048, 2048);
    sun.shadow.normalBias = 0.02;
    sun.shadow.radius = 3;
    const reach = 5;
    Object.assign(sun.shadow.camera, {
      left: -reach,
      right: reach,
      top: reach,
      bottom: -reach,
      near: 0.1,
      far: 14,
    });
    this.scene.add(sun, sun.target);
    return sun;
  }

  #addFloor() {
    const size = this.bounds.getSize(new THREE.Vector3());
    const centre = this.bounds.getCenter(new THREE.Vector3());
    const metres = 2 * Math.ceil(Math.max(size.x, size.z, 4) / 2 + 2);
    const grid = makeGrid(metres);
    grid.position.set(Math.round(centre.x), 0, Math.round(centre.z));
    const shade = new THREE.Mesh(
      new THREE.PlaneGeometry(4 * metres, 4 * metres).rotateX(-Math.PI / 2),
      new THREE.ShadowMaterial({ opacity: 0.22 }),
    );
    shade.position.copy(grid.position).setY(0.002);
    shade.receiveShadow = true;
    this.scene.add(grid, shade);
    return grid;
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    if (!clientWidth || !clientHeight) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.camera.aspect = clientWidth / clientHeight;
    this.camera.updateProjectionMatrix();
    this.draw();
  }
}
