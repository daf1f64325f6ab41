-- Privileged acts of the bank's own people.

-- rule: operator_from_new_device
-- outcome: step_up
-- reason: new_device
-- priority: 20
-- when null: ignore
-- typology: insider threat
-- owner: security
-- gates: operator_act
-- says: This operator, of {acts_30d} acts in thirty days, never worked from this device.
SELECT device IS NOT NULL AND device_known IS NULL AND acts_30d >= 1;

-- rule: operator_velocity
-- outcome: review
-- reason: unusual_velocity
-- priority: 40
-- when null: ignore
-- typology: insider threat
-- owner: security
-- gates: operator_act
-- says: This operator did {acts_1h} privileged acts within one hour.
SELECT acts_1h >= 60;
