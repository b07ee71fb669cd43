"""Training of the lesion network: lesions are painted into normal radiographs.

No label is read, and no abnormal radiograph: the network learns to find what was painted, and to
leave out devices, letters, clothes and exposure, which are painted too.
"""
