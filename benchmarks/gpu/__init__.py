"""Everything once on a GPU: does it work, how long does it take, how near is it to what the GPU can do?"""
