// Angles between the segments of a body, in degrees.

// A segment goes from a joint to another. The trunk goes from the neck to the pelvis,
// and stands for "down" where the thighs and the upper arms begin.
const TRUNK = ["neck", "pelvis"];
const SIDED = {
  knee: (side) => [[`${side}_hip`, `${side}_knee`], [`${side}_knee`, `${side}_ankle`]],
  hip: (side) => [TRUNK, [`${side}_hip`, `${side}_knee`]],
  ankle: (side) => [[`${side}_knee`, `${side}_ankle`], [`${side}_ankle`, `${side}_foot`]],
  elbow: (side) => [
    [`${side}_shoulder`, `${side}_elbow`],
    [`${side}_elbow`, `${side}_wrist`],
  ],
  shoulder: (side) => [TRUNK, [`${side}_shoulder`, `${side}_elbow`]],
};

/** Each angle's two segments; the trunk's is measured from straight down. */
const ANGLES = { trunk: [TRUNK, null] };
for (const [name, segments] of Object.entries(SIDED)) {
  for (const side of ["left", "right"]) ANGLES[`${side} ${name}`] = segments(side);
}

/** The angle of the body as it is posed now. */
function measureAngle(body, name) {
  const [first, second] = ANGLES[name].map((segment) => {
    if (segment === null) return new THREE.Vector3(0, -1, 0);
    const [start, end] = segment.map((joint) => body.skeleton.names.indexOf(joint));
    return body.joint(end).sub(body.joint(start));
  });
  return (first.angleTo(second) * 180) / Math.PI;
}

/** Every angle in every row; the body is left in the pose of the last one. */
function measureAngles(body) {
  const count = body.person.arrays.times.length;
  const rows = Object.fromEntries(
    Object.keys(ANGLES).map((name) => [name, new Float32Array(count)]),
  );
  for (let row = 0; row < count; row++) {
    body.pose({ row, fraction: 0 });
    for (const name in rows) rows[name][row] = measureAngle(body, name);
  }
  return rows;
}
