"""The shifted domain of clips, to test how well models transfer to another domain.

Every component is drawn from ranges that hardly overlap with those of the usual domain;
`mhmr_jax.synth.domains` puts both domains together.
"""
