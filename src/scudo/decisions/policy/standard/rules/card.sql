-- Cards. Amounts are written for currencies with two decimals.

-- rule: card_testing_small_amounts
-- outcome: decline
-- reason: card_testing
-- priority: 10
-- when null: ignore
-- typology: card testing
-- owner: card fraud
-- gates: card
-- says: Within ten minutes this card was tried {card_small_10m} times with very small amounts,
-- says: which is how stolen card numbers are tested.
SELECT card_small_10m >= 4;

-- rule: card_testing_one_device
-- outcome: decline
-- reason: card_testing
-- priority: 11
-- when null: ignore
-- typology: card testing
-- owner: card fraud
-- gates: card
-- says: {device_cards_1h} different cards were used from this device within one hour.
SELECT device_cards_1h >= 4;

-- rule: card_testing_one_address
-- outcome: decline
-- reason: card_testing
-- priority: 12
-- when null: ignore
-- typology: card testing
-- owner: card fraud
-- gates: card
-- says: {ip_small_1h} very small card payments came from one internet address within one hour.
SELECT ip_small_1h >= 10 AND amount_minor < 200;

-- rule: card_declined_repeatedly
-- outcome: decline
-- reason: repeated_declines
-- priority: 20
-- when null: ignore
-- typology: card testing
-- owner: card fraud
-- gates: card
-- says: This card was declined {card_declined_10m} times in the last ten minutes.
SELECT card_declined_10m >= 3;

-- rule: card_velocity
-- outcome: step_up
-- reason: unusual_velocity
-- priority: 30
-- when null: ignore
-- typology: velocity
-- owner: card fraud
-- gates: card
-- says: This card was used {card_count_10m} times in ten minutes,
-- says: at {card_merchants_1h} merchants within the hour.
SELECT card_count_10m >= 8 OR card_merchants_1h >= 6;

-- rule: impossible_travel
-- outcome: decline
-- reason: impossible_travel
-- priority: 15
-- when null: ignore
-- typology: cloned card
-- owner: card fraud
-- gates: card
-- says: The card was presented far away only {card_since_place:duration} before;
-- says: nobody travels that fast.
-- 250 metres a second is the speed of an airliner; positions are good to some kilometres.
SELECT channel = 4
  AND distance_m(latitude_e4, longitude_e4, card_latitude_e4, card_longitude_e4) > 100000
  AND distance_m(latitude_e4, longitude_e4, card_latitude_e4, card_longitude_e4)
    > safe_div(card_since_place, 4000, 0);

-- rule: card_amount_above_history
-- outcome: step_up
-- reason: unusual_amount
-- priority: 40
-- when null: ignore
-- typology: stolen card
-- owner: card fraud
-- gates: card
-- says: {amount_minor:money} is far above what this account usually spends,
-- says: {account_mean_30d:money} on average over thirty days.
SELECT account_count_30d >= 5
  AND amount_minor > 3 * account_mean_30d
  AND amount_minor > 1000;

-- rule: card_amount_large
-- outcome: step_up
-- reason: large_amount
-- priority: 50
-- when null: ignore
-- typology: stolen card
-- owner: card fraud
-- gates: card
-- says: {amount_minor:money} is more than a card pays without confirmation.
SELECT amount_minor > 22000;

-- rule: merchant_with_many_declines
-- outcome: review
-- reason: merchant_risk
-- priority: 60
-- when null: ignore
-- typology: compromised merchant
-- owner: card fraud
-- gates: card
-- says: {merchant_declined_1h} of {merchant_count_1h} payments at this merchant were declined
-- says: within the hour.
-- A merchant on the allow list (bit 524288) is spared, for as long as two people want it.
SELECT merchant_declined_1h >= 5 AND merchant_declined_1h * 4 >= merchant_count_1h
  AND COALESCE(bits(listed, 524288), 0) = 0;
