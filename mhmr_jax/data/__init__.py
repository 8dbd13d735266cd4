"""From stored clips to device batches.

`sources` opens the clips, and `input_spec` says which inputs a network takes.
`examples` and `chunks` make these inputs from clips, by the functions in `transforms`.
`pipeline` is the Grain graph of training, `lanes` its counterpart for evaluation. Flow
comes from `transforms` (DIS), the clips themselves, `flow_cache` or `device_flow`.
"""
