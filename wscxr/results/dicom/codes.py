"""Codes that results use."""

from pydicom.sr.coding import Code

from wscxr.results.dicom.identity import NO_OOD
from wscxr.results.dicom.identity import UNLIKE_TRAINING as UNLIKE_TRAINING_TEXT

_OWN = "99WSCXR"
"""Private coding scheme (PS3.16, chapter 8): the standard has no codes for these."""

SCORE = Code("SCORE", _OWN, "Image-level anomaly score")
P_VALUE = Code("PVALUE", _OWN, "Conformal p-value")
THRESHOLD = Code("THRESHOLD", _OWN, "Threshold of the anomaly score")
DECISION = Code("DECISION", _OWN, "Decision at the threshold")
NORMAL = Code("NORMAL", _OWN, "Normal: not above the threshold")
ABNORMAL = Code("ABNORMAL", _OWN, "Abnormal: above the threshold")
ANOMALY = Code("ANOMALY", _OWN, "Anomaly: unlike normal radiographs")
PEAK = Code("PEAK", _OWN, "Largest anomaly map value of the region")
OOD_SCORE = Code("OODSCORE", _OWN, "OOD score: above 1 unlike the training images")
TRUST = Code("TRUST", _OWN, "Whether the anomaly score can be relied on")
UNLIKE_TRAINING = Code("UNLIKE", _OWN, UNLIKE_TRAINING_TEXT)
NOT_CHECKED = Code("NOTCHECKED", _OWN, NO_OOD)
RESEARCH_ONLY = Code("RESEARCH", _OWN, "For research use, not for diagnosis")

CHEST_RADIOGRAPHY = Code("399208008", "SCT", "Plain chest X-ray")
NO_UNITS = Code("1", "UCUM", "no units")
