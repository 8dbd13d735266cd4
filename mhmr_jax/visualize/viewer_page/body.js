// One person: a skeleton of bones that the rows pose, its mesh, and its feet's marks.

const JOINT_RADIUS = 0.022; // m
const BONE_RADIUS = 0.012;
const MARK_RADIUS = 0.12;
const STANDS = 0.5; // A foot stands if that is more probable than not.
const UP = new THREE.Vector3(0, 1, 0);

class Body {
  #from = new THREE.Quaternion();
  #to = new THREE.Quaternion();
  #start = new THREE.Vector3();
  #end = new THREE.Vector3();
  #matrix = new THREE.Matrix4();

  constructor(person, mesh, skeleton) {
    this.person = person;
    this.skeleton = skeleton; // {names, parents}
    this.group = new THREE.Group();
    this.colour = new THREE.Color(person.colour).lerp(new THREE.Color("white"), 0.25);
    this.material = new THREE.MeshStandardMaterial({
      color: this.colour,
      roughness: 0.75,
    });
    this.bones = this.#makeBones();
    this.skin = this.#makeSkin(mesh);
    this.stick = this.#makeStick();
    this.marks = this.#makeMarks();
    this.group.add(this.skin, ...this.stick, ...this.marks);
  }

  /** Shows "mesh", "skeleton" or "both". */
  setForm(form) {
    this.skin.visible = form !== "skeleton";
    for (const part of this.stick) part.visible = form !== "mesh";
    this.material.transparent = form === "both";
    this.material.opacity = form === "both" ? 0.45 : 1;
    this.material.depthWrite = form !== "both";
    this.material.needsUpdate = true;
  }

  /** Poses the bones; `place` comes from `findRow`. */
  pose({ row, fraction }) {
    const { rotations, root } = this.person.arrays;
    const next = fraction > 0 ? row + 1 : row;
    const count = this.bones.length;
    this.bones.forEach((bone, joint) => {
      this.#from.fromArray(rotations, 4 * (row * count + joint));
      this.#to.fromArray(rotations, 4 * (next * count + joint));
      bone.quaternion.copy(this.#from).slerp(this.#to, fraction).normalize();
    });
    this.#start.fromArray(root, 3 * row);
    this.#end.fromArray(root, 3 * next);
    this.bones[0].position.copy(this.#start).lerp(this.#end, fraction);
    this.bones[0].updateMatrixWorld(true);
  }

  /** Moves sticks and marks to the posed bones. */
  place({ row }, showMarks) {
    const [balls, sticks] = this.stick;
    const { parents } = this.skeleton;
    this.bones.forEach((bone, joint) => {
      this.joint(joint, this.#end);
      balls.setMatrixAt(joint, this.#matrix.makeTranslation(...this.#end.toArray()));
      if (joint) {
        this.joint(parents[joint], this.#start);
        sticks.setMatrixAt(joint - 1, this.#between(this.#start, this.#end));
      }
    });
    balls.instanceMatrix.needsUpdate = sticks.instanceMatrix.needsUpdate = true;
    ["left", "right"].forEach((side, foot) => {
      const mark = this.marks[foot];
      this.joint(this.skeleton.names.indexOf(`${side}_ankle`), this.#start);
      this.joint(this.skeleton.names.indexOf(`${side}_foot`), this.#end);
      mark.position.lerpVectors(this.#start, this.#end, 0.6).setY(0.006);
      mark.visible = showMarks && this.person.arrays.contacts[2 * row + foot] > STANDS;
    });
  }

  /** Writes a joint's position in the world into `target`. */
  joint(index, target = new THREE.Vector3()) {
    return target.setFromMatrixPosition(this.bones[index].matrixWorld);
  }

  #makeBones() {
    const rest = this.person.arrays.rest_joints;
    const bones = this.skeleton.parents.map(() => new THREE.Bone());
    this.skeleton.parents.forEach((parent, joint) => {
      const bone = bones[joint];
      bone.position.fromArray(rest, 3 * joint);
      if (parent < 0) return;
      bone.position.sub(this.#start.fromArray(rest, 3 * parent));
      bones[parent].add(bone);
    });
    return bones;
  }

  #makeSkin(mesh) {
    const geometry = new THREE.BufferGeometry();
    const rest = this.person.arrays.rest_vertices;
    geometry.setAttribute("position", new THREE.BufferAttribute(rest, 3));
    geometry.setIndex(new THREE.BufferAttribute(mesh.faces, 1));
    geometry.setAttribute("skinIndex", new THREE.BufferAttribute(mesh.skin_joints, 4));
    geometry.setAttribute(
      "skinWeight",
      new THREE.BufferAttribute(mesh.skin_weights.slice(), 4),
    );
    geometry.computeVertexNormals();
    const skin = new THREE.SkinnedMesh(geometry, this.material);
    skin.add(this.bones[0]);
    skin.updateMatrixWorld(true);
    skin.bind(new THREE.Skeleton(this.bones));
    skin.normalizeSkinWeights(); // They are rounded.
    skin.frustumCulled = false; // Its bounds are those of the rest pose.
    skin.castShadow = true;
    return skin;
  }

  #makeStick() {
    const material = new THREE.MeshStandardMaterial({
      color: this.colour,
      roughness: 0.6,
    });
    const count = this.bones.length;
    const parts = [
      new THREE.InstancedMesh(new THREE.SphereGeometry(JOINT_RADIUS), material, count),
      new THREE.InstancedMesh(
        new THREE.CylinderGeometry(BONE_RADIUS, BONE_RADIUS, 1, 8),
        material,
        count - 1,
      ),
    ];
    for (const part of parts) {
      part.frustumCulled = false;
      part.castShadow = true;
    }
    return parts;
  }

  #makeMarks() {
    const geometry = new THREE.CircleGeometry(MARK_RADIUS, 32).rotateX(-Math.PI / 2);
    const material = new THREE.MeshBasicMaterial({
      color: this.person.colour,
      transparent: true,
      opacity: 0.55,
    });
    return [0, 1].map(() => new THREE.Mesh(geometry, material));
  }

  /** The matrix that lays a cylinder of length 1 between two points. */
  #between(start, end) {
    const direction = end.clone().sub(start);
    const length = direction.length();
    const turn = new THREE.Quaternion().setFromUnitVectors(UP, direction.normalize());
    const middle = start.clone().lerp(end, 0.5);
    return this.#matrix.compose(middle, turn, new THREE.Vector3(1, length, 1));
  }
}
