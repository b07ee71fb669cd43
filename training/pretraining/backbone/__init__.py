"""Self-supervised pretraining: a backbone from unlabelled radiographs alone.

Two random views of one radiograph must get like features, of different radiographs different ones
(`views`, `objectives`). No label is read, and no image of another domain: a hospital trains its own
backbone from its own archive, without a download.
"""
