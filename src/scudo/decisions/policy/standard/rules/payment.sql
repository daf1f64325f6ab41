-- Payments between accounts. Amounts are written for currencies with two decimals.
--
-- Bits of text_signals, which the vault says of the message that came with a payment: 1 nothing
-- but blanks, 2 a link, 4 a card number, 8 an IBAN, 16 a telephone number, 32 a mail address,
-- 64 shouts, 128 words of scams, 256 hidden characters. NULL: there was no message.

-- rule: new_device_and_new_beneficiary
-- outcome: decline
-- reason: account_takeover
-- priority: 10
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: payment
-- says: {amount_minor:money} was to go to a new beneficiary from a device that this customer
-- says: had not used before.
SELECT device IS NOT NULL
  AND COALESCE(customer_device_known, 0) < 86400000000
  AND account_beneficiary_known IS NULL
  AND account_count_30d >= 3
  AND amount_minor > 200000;

-- rule: new_device
-- outcome: step_up
-- reason: new_device
-- priority: 20
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: payment
-- says: The device was used by this customer for the first time less than a day ago,
-- says: and {amount_minor:money} is not a small amount.
SELECT device IS NOT NULL
  AND COALESCE(customer_device_known, 0) < 86400000000
  AND account_count_30d >= 3
  AND amount_minor > 50000;

-- rule: new_beneficiary
-- outcome: hold
-- reason: new_beneficiary
-- priority: 30
-- when null: ignore
-- typology: authorised push payment scam
-- owner: payment fraud
-- gates: payment
-- says: This account first paid this beneficiary less than a day ago, or never before,
-- says: and {amount_minor:money} is a large amount.
SELECT beneficiary IS NOT NULL
  AND COALESCE(account_beneficiary_known, 0) < 86400000000
  AND amount_minor > 100000;

-- rule: drained_balance
-- outcome: hold
-- reason: drained_balance
-- priority: 25
-- when null: review
-- typology: authorised push payment scam
-- owner: payment fraud
-- gates: payment
-- says: {amount_minor:money} would take nearly all of the {available_minor:money} on the account,
-- says: and goes to a beneficiary it had not paid before.
SELECT account_beneficiary_known IS NULL
  AND amount_minor > 20000
  AND amount_minor > safe_div(available_minor, 10, 0) * 9;

-- rule: message_of_a_scam
-- outcome: hold
-- reason: scam_message
-- priority: 28
-- when null: ignore
-- typology: authorised push payment scam
-- owner: payment fraud
-- gates: payment
-- says: The message has a link or words that cheats have people write, and
-- says: {amount_minor:money} goes to a beneficiary that this account first paid less than a day
-- says: ago, or never before.
SELECT bits(text_signals, 130) > 0
  AND COALESCE(account_beneficiary_known, 0) < 86400000000
  AND amount_minor > 10000;

-- rule: payment_amount_above_history
-- outcome: step_up
-- reason: unusual_amount
-- priority: 40
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: payment
-- says: {amount_minor:money} is far above what this account usually pays,
-- says: at most {account_max_30d:money} in thirty days.
SELECT account_count_30d >= 5
  AND amount_minor > 3 * account_max_30d
  AND amount_minor > 20000;

-- rule: many_payers_one_beneficiary
-- outcome: review
-- reason: mule_account
-- priority: 50
-- when null: ignore
-- typology: mule account
-- owner: payment fraud
-- gates: payment
-- says: {beneficiary_payers_24h} or more customers paid this beneficiary within a day.
SELECT beneficiary_payers_24h >= 8 AND account_beneficiary_known IS NULL;

-- rule: many_beneficiaries
-- outcome: step_up
-- reason: fan_out
-- priority: 55
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: payment
-- says: This account paid {account_beneficiaries_24h} or more different beneficiaries within a day.
SELECT account_beneficiaries_24h >= 8;

-- rule: payment_velocity
-- outcome: step_up
-- reason: unusual_velocity
-- priority: 60
-- when null: ignore
-- typology: velocity
-- owner: payment fraud
-- gates: payment
-- says: The customer asked for {customer_count_1h} payments within one hour.
SELECT customer_count_1h >= 20;

-- rule: repeated_refusals
-- outcome: decline
-- reason: repeated_declines
-- priority: 15
-- when null: ignore
-- typology: account takeover
-- owner: payment fraud
-- gates: payment
-- says: {account_declined_1h} payments from this account were declined within the hour.
SELECT account_declined_1h >= 5;

-- rule: dormant_account_wakes
-- outcome: hold
-- reason: dormant_account
-- priority: 45
-- when null: ignore
-- typology: dormant reactivation
-- owner: payment fraud
-- gates: payment
-- says: The account was quiet for {account_since_latest:duration}, and now
-- says: {amount_minor:money} leaves it.
SELECT account_since_latest > 7776000000000 AND amount_minor > 100000;

-- rule: shared_device
-- outcome: review
-- reason: shared_device
-- priority: 70
-- when null: ignore
-- typology: fraud ring
-- owner: payment fraud
-- gates: payment, card
-- says: {device_customers_7d} or more customers used this device within a week.
SELECT device_customers_7d >= 5;

-- rule: shared_address
-- outcome: review
-- reason: shared_address
-- priority: 71
-- when null: ignore
-- typology: fraud ring
-- owner: payment fraud
-- gates: payment
-- says: {ip_customers_24h} or more customers came from this internet address within a day.
SELECT ip_customers_24h >= 12;

-- Bits of listed, which say what stands on a list: 1 card, 2 device, 4 address, 8 merchant, 16
-- country, 32 beneficiary, 64 customer on the deny list; 256 times that on the watch list, 65536
-- times that on the allow list. Two people change the lists (set_list_entry).

-- rule: on_deny_list
-- outcome: block
-- reason: denied
-- priority: 5
-- when null: ignore
-- typology: known fraud
-- owner: financial crime
-- gates: payment, card
-- says: Something of this payment stands on the list of what the bank denies.
SELECT bits(listed, 127) > 0;

-- rule: on_watch_list
-- outcome: review
-- reason: watched
-- priority: 65
-- when null: ignore
-- typology: suspected fraud
-- owner: financial crime
-- gates: payment, card
-- says: Something of this payment stands on the list of what the bank watches.
SELECT bits(listed, 32512) > 0;
