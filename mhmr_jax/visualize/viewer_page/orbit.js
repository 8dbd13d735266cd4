// A camera that turns around a point, by mouse, pen or fingers.

const NEAREST = 0.3; // m
const FARTHEST = 200;
const TURN = 0.006; // Radians a pixel.

class Orbit {
  #pointers = new Map();

  constructor(camera, canvas, onChange) {
    this.camera = camera;
    this.canvas = canvas;
    this.onChange = onChange;
    this.target = new THREE.Vector3();
    this.place = new THREE.Spherical(4, Math.PI / 2, 0);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#pointers.delete(event.pointerId));
    }
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE;
        this.#zoom(Math.exp(event.deltaY * (lines ? 0.04 : 0.0012)));
        this.update();
      },
      { passive: false },
    );
  }

  /** Looks at `target` from `position`. */
  look(position, target) {
    this.target.copy(target);
    this.place.setFromVector3(position.clone().sub(target));
    this.update();
  }

  update() {
    this.place.phi = Math.min(Math.max(this.place.phi, 0.01), Math.PI - 0.01);
    this.camera.position.setFromSpherical(this.place).add(this.target);
    this.camera.lookAt(this.target);
    this.onChange();
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    if (this.#pointers.size > 1) {
      const [id] = [...this.#pointers.keys()].filter((key) => key !== event.pointerId);
      const other = this.#pointers.get(id);
      const distance = (a) => Math.hypot(a.x - other.x, a.y - other.y) || 1;
      this.#zoom(distance(before) / distance(now));
      this.#pan(dx / 2, dy / 2); // Each of the two fingers moves it by half.
    } else if (event.buttons & 2 || event.shiftKey) {
      this.#pan(dx, dy);
    } else {
      this.place.theta -= TURN * dx;
      this.place.phi -= TURN * dy;
    }
    this.#pointers.set(event.pointerId, now);
    this.update();
  }

  #zoom(factor) {
    this.place.radius = Math.min(
      Math.max(this.place.radius * factor, NEAREST),
      FARTHEST,
    );
  }

  /** Moves the target with the pointer, in the plane of the screen. */
  #pan(dx, dy) {
    const half = Math.tan((this.camera.fov * Math.PI) / 360);
    const metres = (2 * this.place.radius * half) / this.canvas.clientHeight;
    const right = new THREE.Vector3().setFromMatrixColumn(this.camera.matrix, 0);
    const up = new THREE.Vector3().setFromMatrixColumn(this.camera.matrix, 1);
    this.target.addScaledVector(right, -dx * metres).addScaledVector(up, dy * metres);
  }
}
