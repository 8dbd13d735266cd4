"""Writes people's motions (`schema.Motion`) in formats that other programs read.

A module writes one format. All files hold the motion in the world, in metres (BVH in
centimetres), and are made of the `Motion` alone and, where they hold a mesh or bones,
of the body that it was made with.
"""
