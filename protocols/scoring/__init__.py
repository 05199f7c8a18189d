"""Joint scoring online: who may ask what about whom, and what travels while an applicant waits."""
