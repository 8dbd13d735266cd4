"""Imports a motion into Blender and saves where its joints are; run by Python with bpy.

  python blender_joints.py motion.glb out.npz 30 3 4 5.5

The arguments are the file, the result, the scene's frame rate, and the frames to look
at. The result has, for each armature, by its name, the places of the bones' heads in
the scene [frames, bones, 3], where z is up, and of its mesh's vertices at the last
frame; and beside them the names of the bones.
"""

import pathlib
import sys

import bpy
import numpy as np


def _import(path: str, fps: float) -> None:
  bpy.ops.wm.read_factory_settings(use_empty=True)
  scene = bpy.context.scene
  scene.render.fps, scene.render.fps_base = round(fps), round(fps) / fps
  if path.endswith(".bvh"):
    # As the dialog would with centimetres; frame 0 is the first row.
    bpy.ops.import_anim.bvh(filepath=path, global_scale=0.01, frame_start=0)
  elif path.endswith(".fbx"):
    bpy.ops.import_scene.fbx(filepath=path)
  else:
    bpy.ops.import_scene.gltf(filepath=path)


def _heads(armature) -> list:
  return [list(armature.matrix_world @ bone.head) for bone in armature.pose.bones]


def _vertices(armature) -> list:
  graph = bpy.context.evaluated_depsgraph_get()
  found = []
  for child in armature.children:
    if child.type == "MESH":
      mesh = child.evaluated_get(graph)
      found += [list(mesh.matrix_world @ vertex.co) for vertex in mesh.data.vertices]
  return found


def main() -> None:
  path, out, fps, *frames = sys.argv[1:]
  _import(path, float(fps))
  scene = bpy.context.scene
  armatures = [thing for thing in scene.objects if thing.type == "ARMATURE"]
  found = {armature.name: [] for armature in armatures}
  for frame in map(float, frames):
    scene.frame_set(int(frame), subframe=frame % 1)
    for armature in armatures:
      found[armature.name].append(_heads(armature))
  arrays = {}
  for armature in armatures:
    arrays[f"joints {armature.name}"] = np.array(found[armature.name])
    arrays[f"names {armature.name}"] = np.array([b.name for b in armature.pose.bones])
    arrays[f"vertices {armature.name}"] = np.array(_vertices(armature))
  arrays["range"] = np.array([scene.frame_start, scene.frame_end])
  arrays["fps"] = np.array(scene.render.fps / scene.render.fps_base)
  with pathlib.Path(out).open("wb") as file:
    np.savez(file, **arrays)


main()
