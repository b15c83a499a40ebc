import sys; sys.path.insert(0,'tests')
import cProfile,pstats
from test_sandbox_ledger import *
from sandbox_clerk import at_work
with at_work() as c:
    w=Writer(c,2)
    p=cProfile.Profile(); p.enable()
    for _ in range(200): w.step()
    p.disable(); print(w.done); pstats.Stats(p).sort_stats('cumtime').print_stats(32)
