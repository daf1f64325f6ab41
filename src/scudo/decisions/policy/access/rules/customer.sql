-- What changes who a customer is and what the customer may do.

-- rule: onboarding_one_device
-- outcome: hold
-- reason: synthetic_identity
-- priority: 10
-- when null: ignore
-- typology: synthetic identity
-- owner: onboarding
-- gates: onboarding
-- says: {device_onboardings_24h} persons signed up from this device within a day.
SELECT device_onboardings_24h >= 4;

-- rule: onboarding_one_network
-- outcome: review
-- reason: shared_address
-- priority: 20
-- when null: ignore
-- typology: synthetic identity
-- owner: onboarding
-- gates: onboarding
-- says: {network_onboardings_24h} persons signed up from this internet address within a day.
SELECT network_onboardings_24h >= 20;

-- rule: new_device_after_recovery
-- outcome: hold
-- reason: account_takeover
-- priority: 10
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: new_device
-- says: The account was recovered {since_recovery:duration} before, and now a device is added.
SELECT since_recovery < 259200000000;

-- rule: new_device_confirmed
-- outcome: step_up
-- reason: new_device
-- priority: 30
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: new_device
-- says: A further device is added by a customer who logged in {logins_30d} times in thirty days.
SELECT logins_30d >= 1;

-- rule: many_new_devices
-- outcome: hold
-- reason: unusual_velocity
-- priority: 40
-- when null: ignore
-- typology: shared credentials
-- owner: access fraud
-- gates: new_device
-- says: {devices_added_7d} devices were added within a week.
SELECT devices_added_7d >= 4;

-- rule: beneficiary_after_recovery
-- outcome: hold
-- reason: account_takeover
-- priority: 10
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: beneficiary
-- says: The account was recovered {since_recovery:duration} before, and now a beneficiary is added.
SELECT since_recovery < 259200000000;

-- rule: beneficiary_from_new_device
-- outcome: step_up
-- reason: new_device
-- priority: 30
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: beneficiary
-- says: A beneficiary is added from a device that this customer first used less than a day ago,
-- says: or never before.
SELECT device IS NOT NULL AND COALESCE(device_known, 0) < 86400000000 AND logins_30d >= 2;

-- rule: many_beneficiaries_added
-- outcome: step_up
-- reason: fan_out
-- priority: 40
-- when null: ignore
-- typology: mule account
-- owner: payment fraud
-- gates: beneficiary
-- says: {beneficiaries_24h} beneficiaries were added within a day.
SELECT beneficiaries_24h >= 6;

-- rule: recovery_from_nowhere
-- outcome: hold
-- reason: account_takeover
-- priority: 20
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: recovery
-- says: The account is to be recovered from a device and an internet address that this customer
-- says: had never used.
SELECT device_known IS NULL AND network_known IS NULL AND logins_30d >= 1;

-- rule: recovered_repeatedly
-- outcome: hold
-- reason: account_takeover
-- priority: 30
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: recovery
-- says: The account was to be recovered {recoveries_7d} times within a week.
SELECT recoveries_7d >= 3;

-- rule: limit_after_recovery
-- outcome: decline
-- reason: account_takeover
-- priority: 10
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: limit_change
-- says: The account was recovered {since_recovery:duration} before;
-- says: limits stay as they are for three days.
SELECT since_recovery < 259200000000;

-- rule: limit_from_new_device
-- outcome: hold
-- reason: new_device
-- priority: 20
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: limit_change
-- says: A limit is to be changed from a device that this customer first used less than a day ago,
-- says: or never before.
SELECT device IS NOT NULL AND COALESCE(device_known, 0) < 86400000000 AND logins_30d >= 2;

-- rule: limits_changed_repeatedly
-- outcome: review
-- reason: unusual_velocity
-- priority: 40
-- when null: ignore
-- typology: authorised push payment scam
-- owner: payment fraud
-- gates: limit_change
-- says: Limits were to be changed {limit_changes_24h} times within a day.
SELECT limit_changes_24h >= 4;
