"""placeholder"""
def take(x, v): return False
def forward(*a): raise AssertionError
def backward(*a): raise AssertionError
