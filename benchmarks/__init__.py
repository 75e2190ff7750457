"""What this project says about speed, as commands that measure it beside its named peers.

    python -m benchmarks                       # everything, about 50 minutes on 2 idle cores -> results/benchmarks/*.parquet
    python -m benchmarks gradients tables      # some of it
    python -m benchmarks --quick               # every line once, small; writes nothing
    python -m benchmarks gpu                   # the goals for one GPU, three minutes, where there is one; never run unless named
    python -m benchmarks flips                 # who finds flipped labels: hours, goes on where it stopped; only where named

The peers are not part of the lock:  pip install --no-deps opacus==1.6.0 opt_einsum==3.4.0
"""
