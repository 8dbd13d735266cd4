"""Small Acclaim files (ASF/AMC) for the tests of their reader and of its users."""

BONES = {
  "lowerback": ("root", "0 1 0", "rx ry rz"), "upperback": ("lowerback", "0 1 0", ""),
  "thorax": ("upperback", "0 1 0", ""), "lowerneck": ("thorax", "0 1 0", ""),
  "upperneck": ("lowerneck", "0 1 0", ""), "head": ("upperneck", "0 1 0", ""),
}  # fmt: skip
for _s, _x in (("l", "1"), ("r", "-1")):
  BONES |= {
    f"{_s}hipjoint": ("root", f"{_x} -1 0", ""),
    f"{_s}femur": (f"{_s}hipjoint", "0 -1 0", "rx ry rz"),
    f"{_s}tibia": (f"{_s}femur", "0 -1 0", "rx"),
    f"{_s}foot": (f"{_s}tibia", "0 0 1", "rx rz"),
    f"{_s}toes": (f"{_s}foot", "0 0 1", ""),
    f"{_s}clavicle": ("thorax", f"{_x} 0 0", ""),
    f"{_s}humerus": (f"{_s}clavicle", f"{_x} 0 0", "rx ry rz"),
    f"{_s}radius": (f"{_s}humerus", f"{_x} 0 0", ""),
    f"{_s}wrist": (f"{_s}radius", f"{_x} 0 0", ""),
    f"{_s}hand": (f"{_s}wrist", f"{_x} 0 0", ""),
  }


def write_pair(folder, frames, bones=BONES):
  """Writes a skeleton and a motion, each frame a value for each bone's name."""
  lines = [":version 1.10", ":units", "  mass 1.0", "  length 0.45", "  angle deg"]
  lines += [":root", "  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0"]
  lines += ["  orientation 0 0 0", ":bonedata"]
  for name, (_, direction, dof) in bones.items():
    lines += ["  begin", f"  name {name}", f"  direction {direction}", "  length 2"]
    lines += ["  axis 0 0 0  XYZ"] + ([f"  dof {dof}"] if dof else []) + ["  end"]
  lines += [":hierarchy", "  begin"]
  lines += [f"    {parent} {name}" for name, (parent, _, _) in bones.items()]
  (folder / "09.asf").write_text("\n".join([*lines, "  end", ""]))
  lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES"]
  for number, frame in enumerate(frames, 1):
    lines += [str(number), *(f"{name} {values}" for name, values in frame.items())]
  (folder / "09_01.amc").write_text("\r\n".join([*lines, ""]))
  return folder / "09.asf", folder / "09_01.amc"
