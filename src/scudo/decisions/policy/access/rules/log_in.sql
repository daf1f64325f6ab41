-- Log-ins, and what a stranger with stolen credentials does first.

-- rule: device_across_customers
-- outcome: decline
-- reason: credential_stuffing
-- priority: 10
-- when null: ignore
-- typology: credential stuffing
-- owner: access fraud
-- gates: log_in, new_device, recovery
-- says: {device_persons_1h} or more customers were tried from this device within one hour.
SELECT device_persons_1h >= 5;

-- rule: device_refused_repeatedly
-- outcome: decline
-- reason: repeated_declines
-- priority: 12
-- when null: ignore
-- typology: credential stuffing
-- owner: access fraud
-- gates: log_in, new_device, recovery
-- says: This device was refused {device_refused_1h} times within the hour.
-- It counts by device and not by customer: a stranger must not lock a customer out.
SELECT device_refused_1h >= 5;

-- rule: network_across_customers
-- outcome: step_up
-- reason: credential_stuffing
-- priority: 15
-- when null: ignore
-- typology: credential stuffing
-- owner: access fraud
-- gates: log_in, recovery
-- says: {network_persons_1h} or more customers came from one internet address within one hour.
-- Many share an address honestly, so they are asked to confirm and are not refused.
SELECT network_persons_1h >= 20;

-- rule: log_in_after_failures
-- outcome: step_up
-- reason: credential_stuffing
-- priority: 17
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: log_in, recovery
-- says: Within one hour {failures_1h} proofs of this customer did not hold, from wherever, and
-- says: {device_failures_1h} from this device; now one does.
-- Failures elsewhere are no reason to doubt a device that was known before they began.
SELECT device_failures_1h >= 8
  OR (failures_1h >= 10 AND device IS NOT NULL AND COALESCE(device_known, 0) < 86400000000);

-- rule: log_in_after_failures_of_network
-- outcome: step_up
-- reason: credential_stuffing
-- priority: 18
-- when null: ignore
-- typology: credential stuffing
-- owner: access fraud
-- gates: log_in, recovery
-- says: {network_failures_1h} proofs of many names did not hold from this internet address within
-- says: one hour, which this customer never used before; now one does.
SELECT network_failures_1h >= 40 AND network_known IS NULL;

-- rule: proofs_guessed
-- outcome: review
-- reason: credential_stuffing
-- priority: 50
-- when null: ignore
-- typology: credential stuffing
-- owner: access fraud
-- gates: failed_proof
-- says: Proofs are guessed: {network_failures_1h} did not hold from this internet address within one
-- says: hour.
-- Told once for a flood; what it leads to is refused and slowed down anyway.
SELECT network_failures_1h = 200;

-- rule: log_in_after_recovery
-- outcome: hold
-- reason: account_takeover
-- priority: 20
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: log_in
-- says: The account was recovered {since_recovery:duration} before, and now somebody logs in from
-- says: a device and an internet address that this customer had never used.
SELECT since_recovery < 86400000000
  AND device IS NOT NULL AND device_known IS NULL
  AND ip IS NOT NULL AND network_known IS NULL;

-- rule: log_in_new_device
-- outcome: step_up
-- reason: new_device
-- priority: 30
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: log_in
-- says: This customer, who logged in {logins_30d} times in thirty days, never used this device.
SELECT device_known IS NULL AND logins_30d >= 1;

-- rule: log_in_elsewhere
-- outcome: step_up
-- reason: impossible_travel
-- priority: 32
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: log_in
-- says: Only {since_country:duration} before this customer was in another country.
SELECT country IS NOT NULL AND country <> latest_country AND since_country < 7200000000;

-- rule: log_in_many_networks
-- outcome: step_up
-- reason: unusual_velocity
-- priority: 40
-- when null: ignore
-- typology: shared credentials
-- owner: access fraud
-- gates: log_in
-- says: This customer logged in from {networks_24h} internet addresses
-- says: and {devices_24h} devices within a day.
SELECT networks_24h >= 6 OR devices_24h >= 5;

-- rule: log_in_velocity
-- outcome: step_up
-- reason: unusual_velocity
-- priority: 45
-- when null: ignore
-- typology: velocity
-- owner: access fraud
-- gates: log_in
-- says: This customer logged in {logins_1h} times within one hour.
SELECT logins_1h >= 20;

-- rule: log_in_after_long
-- outcome: review
-- reason: dormant_account
-- priority: 60
-- when null: ignore
-- typology: dormant reactivation
-- owner: access fraud
-- gates: log_in
-- says: This customer had not logged in for {since_login:duration}.
SELECT since_login > 15552000000000;
