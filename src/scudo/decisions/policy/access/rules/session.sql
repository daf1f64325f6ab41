-- What is done in a session: how customers do it, and how somebody does who took it over. A
-- step-up asks for a proof in this very session; a block ends the session.

-- rule: session_floods
-- outcome: block
-- reason: unusual_velocity
-- priority: 5
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: session_act
-- says: {session_acts_10m} sensitive acts were tried in one session within ten minutes; it is ended.
SELECT session_acts_10m >= 60;

-- rule: session_harvests
-- outcome: block
-- reason: unusual_velocity
-- priority: 6
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: session_act
-- says: The customer's own data was read {session_reads_10m} hundred times in one session within
-- says: ten minutes, as programs do and people do not; it is ended.
SELECT session_reads_10m >= 30;

-- rule: act_at_once
-- outcome: step_up
-- reason: account_takeover
-- priority: 20
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: session_act
-- says: Only {since_login:duration} after the log-in, as its first act, the session does what this
-- says: customer never did before.
SELECT act <> 6 AND since_login < 3000000 AND since_first_act IS NULL AND act_known IS NULL
  AND logins_30d >= 3;

-- rule: act_unheard_of
-- outcome: step_up
-- reason: account_takeover
-- priority: 25
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: session_act
-- says: This customer never did this before, and does it from an internet address that was first
-- says: used less than a day ago, or never.
SELECT act <> 6 AND act_known IS NULL AND logins_30d >= 3
  AND ip IS NOT NULL AND COALESCE(network_known, 0) < 86400000000;

-- rule: act_at_unusual_hour
-- outcome: step_up
-- reason: unusual_behaviour
-- priority: 30
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: session_act
-- says: Of {own_acts_30d} acts in thirty days none was within hours of this time of the day, and
-- says: now there is one, of a kind that is new or from a new internet address.
-- The part of the day and both beside it: what is usual ten minutes before four is at four.
SELECT act <> 6 AND own_acts_30d >= 10
  AND (act_known IS NULL OR COALESCE(network_known, 0) < 86400000000)
  AND CASE
    WHEN hour < 4 THEN acts_at_20_30d + acts_at_00_30d + acts_at_04_30d
    WHEN hour < 8 THEN acts_at_00_30d + acts_at_04_30d + acts_at_08_30d
    WHEN hour < 12 THEN acts_at_04_30d + acts_at_08_30d + acts_at_12_30d
    WHEN hour < 16 THEN acts_at_08_30d + acts_at_12_30d + acts_at_16_30d
    WHEN hour < 20 THEN acts_at_12_30d + acts_at_16_30d + acts_at_20_30d
    ELSE acts_at_16_30d + acts_at_20_30d + acts_at_00_30d
  END = 0;

-- rule: act_elsewhere
-- outcome: step_up
-- reason: impossible_travel
-- priority: 15
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: session_act
-- says: Only {since_country:duration} before this customer was in another country.
SELECT country IS NOT NULL AND country <> latest_country AND since_country < 7200000000;

-- rule: acts_follow_quickly
-- outcome: step_up
-- reason: unusual_velocity
-- priority: 40
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: session_act
-- says: {session_acts_10m} sensitive acts were tried in one session within ten minutes.
SELECT session_acts_10m >= 20;

-- rule: act_after_many_reads
-- outcome: step_up
-- reason: unusual_behaviour
-- priority: 45
-- when null: ignore
-- typology: account takeover
-- owner: access fraud
-- gates: session_act
-- says: The customer's own data was read {session_reads_10m} hundred times in this session within ten
-- says: minutes, and then it acts.
SELECT act <> 6 AND session_reads_10m >= 5;
