"""Run code that isn't trusted against its tests, out of reach of the machine and of the verdict.

A program's code runs in one process and its tests in another. They share nothing but a channel over which the tests
call the code and get plain values back (`inside`). `protection` says what stands between both and the machine. `pool`
runs many programs.
"""
