"""From stored clips to device batches.

`sources` opens the clips, `input_spec` says what a network is given, `examples` and
`chunks` make that of clips by the functions in `transforms`. `pipeline` is the Grain
graph of training, `lanes` its counterpart for evaluation. Flow comes from `transforms`
(DIS), the clips themselves, `flow_cache` or `device_flow`.
"""
