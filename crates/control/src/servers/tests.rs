use super::*;

fn seen(id: ServerId, presence: Presence) -> Seen {
    Seen { id, name: format!("s{id}"), presence, expect: 3, has_state: false }
}

fn alive(ids: &[ServerId]) -> Vec<Seen> {
    ids.iter().map(|id| seen(*id, Presence::Alive)).collect()
}

fn voters(ids: &[ServerId]) -> BTreeMap<ServerId, Member> {
    ids.iter().map(|id| (*id, Member { voter: true, last_contact: Some(Dur::ZERO), last_index: 100 })).collect()
}

fn at(seconds: i64) -> UnixNanos {
    UnixNanos(seconds * SECOND)
}

#[test]
fn one_of_those_that_are_expected_forms_the_cluster() {
    let three = alive(&[7, 3, 5]);
    assert_eq!(bootstrap(3, &three), Begin::Form([3, 5, 7].into()));
    assert_eq!((bootstrap(5, &three), bootstrap(7, &three)), (Begin::Wait, Begin::Wait));
    assert_eq!(bootstrap(3, &alive(&[3, 5])), Begin::Missing(1));
    let mut failed = alive(&[3, 5, 7]);
    failed[2].presence = Presence::Failed;
    assert_eq!(bootstrap(3, &failed), Begin::Missing(1), "who does not answer does not count");
    let four = alive(&[9, 7, 5, 3]);
    assert_eq!(bootstrap(3, &four), Begin::Form([3, 5, 7].into()), "who is too many joins later");
    assert_eq!(bootstrap(9, &four), Begin::Wait);
}

#[test]
fn nobody_forms_a_second_cluster() {
    let mut there = alive(&[3, 5, 7, 8]);
    there[3].has_state = true;
    assert_eq!(bootstrap(3, &there), Begin::Wait);
    there[3].presence = Presence::Failed;
    assert_eq!(bootstrap(3, &there), Begin::Wait, "its cluster may still be there");
    there[3].presence = Presence::Left;
    assert_eq!(bootstrap(3, &there), Begin::Form([3, 5, 7].into()));
    there[3] = Seen { expect: 0, ..seen(8, Presence::Alive) };
    assert_eq!(bootstrap(8, &there), Begin::Wait, "one that expects none joins");
    there[1].expect = 5;
    assert_eq!(bootstrap(3, &there), Begin::Disagree(vec!["s5".to_owned()]));
}

#[test]
fn a_new_server_learns_and_then_votes() {
    let (config, mut pilot) = (AutopilotConfig::default(), Autopilot::default());
    let (seen, mut members) = (alive(&[1, 2, 3, 4]), voters(&[1, 2, 3]));
    assert_eq!(pilot.step(&config, &seen, &members, at(0)), Some(Change::AddLearner(4)));
    let learner = |last_index| Member { voter: false, last_contact: Some(Dur::ZERO), last_index };
    members.insert(4, learner(0));
    members.get_mut(&1).expect("there").last_index = 1000;
    assert_eq!(pilot.step(&config, &seen, &members, at(1)), None);
    assert_eq!(pilot.health()[&4].trouble.as_deref(), Some("it is 1000 entries behind, 250 are allowed"));
    members.insert(4, learner(990));
    assert_eq!(pilot.step(&config, &seen, &members, at(2)), None, "caught up, but not for long");
    assert_eq!(pilot.step(&config, &seen, &members, at(11)), None);
    members.insert(4, Member { last_contact: Some(Dur(300 * MILLISECOND)), ..learner(990) });
    assert_eq!(pilot.step(&config, &seen, &members, at(12)), None, "its time begins anew");
    members.insert(4, learner(1000));
    assert_eq!(pilot.step(&config, &seen, &members, at(13)), None);
    assert_eq!(pilot.step(&config, &seen, &members, at(23)), Some(Change::Promote(4)));
}

#[test]
fn dead_servers_go_while_the_others_can_do_without() {
    let (config, mut pilot) = (AutopilotConfig::default(), Autopilot::default());
    let dead = |ids: &[ServerId], all: &[ServerId]| -> Vec<Seen> {
        let presence = |id: &ServerId| if ids.contains(id) { Presence::Failed } else { Presence::Alive };
        all.iter().map(|id| seen(*id, presence(id))).collect()
    };
    let five = [1, 2, 3, 4, 5];
    let silent = |ids: &[ServerId], all: &[ServerId]| {
        let mut members = voters(all);
        ids.iter().for_each(|id| members.get_mut(id).expect("a voter").last_contact = Some(Dur(6 * SECOND)));
        members
    };
    let step = |pilot: &mut Autopilot, config: &AutopilotConfig, failed: &[ServerId], all: &[ServerId]| {
        pilot.step(config, &dead(failed, all), &silent(failed, all), at(0))
    };
    assert_eq!(pilot.step(&config, &dead(&[5], &five), &voters(&five), at(0)), None, "raft hears of it");
    assert_eq!(step(&mut pilot, &config, &[4, 5], &five), Some(Change::Remove(4)));
    assert_eq!(step(&mut pilot, &config, &[3, 4, 5], &five), None, "most of them: none is removed");
    assert_eq!(step(&mut pilot, &config, &[2], &[1, 2]), None, "two stay two");
    assert_eq!(step(&mut pilot, &AutopilotConfig { min_quorum: 5, ..config }, &[5], &five), None);
    assert_eq!(step(&mut pilot, &AutopilotConfig { cleanup_dead_servers: false, ..config }, &[5], &five), None);
    let mut left = alive(&five);
    left[1].presence = Presence::Left;
    assert_eq!(pilot.step(&config, &left, &voters(&five), at(0)), Some(Change::Remove(2)));
    assert_eq!(pilot.step(&config, &alive(&[1, 2]), &voters(&[1, 2, 3]), at(0)), None, "unknown is not dead");
    assert_eq!(pilot.tolerance(&voters(&[1, 2, 3])), 0);
    assert_eq!((pilot.step(&config, &alive(&five), &voters(&five), at(0)), pilot.tolerance(&voters(&five))), (None, 2));
}
