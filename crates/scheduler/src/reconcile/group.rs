//! One task group: what runs against what was asked for.

use std::collections::{BTreeSet, HashMap, HashSet};

use tarpan_model::alloc::DesiredTransition;
use tarpan_model::deployment::DeploymentGroup;
use tarpan_model::ids::AllocId;
use tarpan_model::plan::DesiredUpdates;
use tarpan_model::{Allocation, ClientStatus, DesiredStatus, UnixNanos};

use super::buckets::{Bucket, needs_reconnect};
use super::followup::stopped_on_client;
use super::names::Names;
use super::reschedule::{self, Circumstances, When, last_failed};
use super::{AllocRef, Place, Reconciler, Update, text};
use crate::compile::Group;

/// A group's allocations, sorted.
#[derive(Default)]
struct Sets<'a> {
    untainted: Vec<AllocRef<'a>>,
    migrate: Vec<AllocRef<'a>>,
    lost: Vec<AllocRef<'a>>,
    disconnecting: Vec<AllocRef<'a>>,
    reconnecting: Vec<AllocRef<'a>>,
    now: Vec<AllocRef<'a>>,
    later: Vec<(UnixNanos, AllocRef<'a>)>,
    /// Out of touch, with another one in their place.
    stood_in: HashSet<AllocId>,
}

impl<'a> Reconciler<'a, '_> {
    /// Works out one group; says whether nothing is left to do for its deployment.
    pub(super) fn group(&mut self, group: &Group, all: Vec<AllocRef<'a>>) -> bool {
        if group.count == 0 {
            self.stop_all(&group.name, all);
            return true;
        }
        let mut desired = DesiredUpdates::default();
        let (mut state, existing) = self.group_state(group);
        let mut set = self.drop_finished(&all, &mut desired);
        let mut canaries = self.settle_canaries(group, &state, &mut set, &mut desired);
        let mut sets = self.sort(group, set, stood_in(&all), &mut desired);

        let stay = self.reconnect(group, std::mem::take(&mut sets.reconnecting), &all);
        desired.reconnect += stay.len() as u64;
        sets.untainted.extend(stay);
        sets.untainted.retain(|a| !self.stops(a.id));
        canaries.retain(|id| !self.stops(*id));
        self.disconnect(group, &mut sets, &mut desired);
        let waiting = self.stop_lost(group, &sets, &mut desired);
        desired.reschedule_later += sets.later.len() as u64;
        self.keep_within_room(group, &mut sets);
        desired.reschedule_now += sets.now.len() as u64;
        let later = std::mem::take(&mut sets.later);
        let any_later = !later.is_empty();
        if self.input.eval.wait_until.is_zero() || self.input.eval.wait_until <= self.input.now {
            self.reschedule_later(later);
        }

        let in_use = sets.untainted.iter().chain(&sets.migrate).chain(&sets.now).chain(&sets.lost);
        let mut names = Names::new(group.count, in_use.map(|a| a.index()));
        let canarying = |state: &DeploymentGroup| state.desired_canaries > 0 && !state.promoted;
        self.stop_surplus(group, &mut sets, &canaries, canarying(&state), &mut names, &mut desired);

        let (in_place, mut destructive) = self.sort_updates(group, &mut sets, &mut desired);
        if !existing {
            state.desired_total += (in_place + destructive.len()) as u64;
        }
        if canarying(&state) {
            sets.untainted.retain(|a| !canaries.contains(&a.id));
            destructive.retain(|a| !canaries.contains(&a.id));
        }
        let canaries_wanted = group.update.map_or(0, |u| u.canary as usize);
        // Also where what they were to replace is gone with its nodes: until there are canaries to promote nothing else is placed.
        let on_trial = existing && canarying(&state);
        let needs_canaries =
            (!destructive.is_empty() || on_trial) && canaries.len() < canaries_wanted && !state.promoted;
        if needs_canaries {
            state.desired_canaries = canaries_wanted as u64;
            if !self.paused && !self.failed {
                let missing = canaries_wanted - canaries.len();
                let taken: BTreeSet<u32> =
                    all.iter().filter(|a| canaries.contains(&a.id)).filter_map(|a| a.index()).collect();
                let replaced = destructive.iter().filter_map(|a| a.index());
                desired.canary += missing as u64;
                for index in names.next_canaries(missing, &taken, replaced) {
                    self.changes.place.push(Place { canary: true, ..fresh(group, index) });
                }
            }
        }
        let canarying = canarying(&state);

        let limit = self.limit(group, &sets, &destructive, canarying);
        let place =
            if waiting { Vec::new() } else { self.placements(group, &sets, destructive.len(), canarying, &mut names) };
        if !existing {
            state.desired_total += place.len() as u64;
        }
        let nothing_left = in_place == 0
            && destructive.is_empty()
            && place.is_empty()
            && sets.migrate.is_empty()
            && sets.now.is_empty()
            && !any_later
            && !needs_canaries;
        let had_this_version = all.iter().any(|a| self.is_this_version(a));
        let updates_spec = in_place > 0 || !destructive.is_empty();

        let left = self.place_within(group, place, limit, canarying, &sets, &mut desired);
        self.replace(
            group,
            &destructive,
            if canarying || self.paused || self.failed { 0 } else { left },
            &mut names,
            &mut desired,
        );
        self.migrate(group, &sets, canarying, &mut desired);

        let joins =
            group.update.is_some() && !existing && state.desired_total > 0 && (!had_this_version || updates_spec);
        if joins && !self.failed {
            self.join_deployment(group, state.clone());
        }
        if joins || existing {
            self.changes.joins_deployment.insert(group.name.clone());
        }
        self.changes.annotations.groups.insert(group.name.clone(), desired);
        nothing_left && (!existing || group_done(&state)) && !joins
    }

    fn is_this_version(&self, alloc: &Allocation) -> bool {
        self.input.job.is_some_and(|job| {
            alloc.job_version == job.job.version() && alloc.job_create_index == job.job.create_index.unwrap_or(0)
        })
    }

    /// Leaves out what does not count any more.
    fn drop_finished(&self, all: &[AllocRef<'a>], desired: &mut DesiredUpdates) -> Vec<AllocRef<'a>> {
        let batch = self.input.batch;
        let mut set: Vec<AllocRef<'a>> = all
            .iter()
            .filter(|a| {
                !a.server_terminal() || (batch && a.transition.reschedule != Some(true)) || (!batch && last_failed(a))
            })
            .copied()
            .collect();
        if batch {
            let before = set.len();
            set.retain(|a| !a.terminal() || self.is_this_version(a));
            desired.ignore += (before - set.len()) as u64;
        }
        set
    }

    /// Stops canaries that nobody waits for; gives the ids of those on trial.
    fn settle_canaries(
        &mut self,
        group: &Group,
        state: &DeploymentGroup,
        set: &mut Vec<AllocRef<'a>>,
        desired: &mut DesiredUpdates,
    ) -> HashSet<AllocId> {
        let failed = if self.failed { self.current } else { None };
        let mut stopped: HashSet<AllocId> = HashSet::new();
        for deployment in [self.old, failed].into_iter().flatten() {
            let Some(old_state) = deployment.groups.get(&group.name).filter(|g| !g.promoted) else { continue };
            let on_trial = |a: &Allocation| {
                old_state.placed_canaries.contains(&a.id)
                    || (a.deployment_id == Some(deployment.id) && a.deployment_status.is_some_and(|s| s.canary))
            };
            for alloc in set.iter().filter(|a| on_trial(a) && !a.terminal()) {
                stopped.insert(alloc.id);
                desired.stop += 1;
                self.changes.stops.push(super::Stop {
                    alloc,
                    description: text::NOT_NEEDED,
                    client_status: None,
                    followup: None,
                });
            }
        }
        set.retain(|a| !stopped.contains(&a.id));
        let Some(current) = self.current.filter(|_| !self.failed) else { return HashSet::new() };
        let mut canaries = HashSet::new();
        let mut gone = HashSet::new();
        for alloc in set.iter() {
            let flagged = alloc.deployment_id == Some(current.id) && alloc.deployment_status.is_some_and(|s| s.canary);
            if !flagged && !state.placed_canaries.contains(&alloc.id) {
                continue;
            }
            match self.bucket(alloc) {
                Bucket::Migrate => {
                    self.changes.stops.push(super::Stop {
                        alloc,
                        description: text::MIGRATING,
                        client_status: None,
                        followup: None,
                    });
                    gone.insert(alloc.id);
                }
                Bucket::Lost | Bucket::Expiring => {
                    let client_status = Some(ClientStatus::Lost);
                    self.changes.stops.push(super::Stop {
                        alloc,
                        description: text::LOST,
                        client_status,
                        followup: None,
                    });
                    gone.insert(alloc.id);
                }
                _ => drop(canaries.insert(alloc.id)),
            }
        }
        // A promoted canary is an allocation like any other and is replaced like one.
        if state.promoted {
            self.changes.stops.retain(|s| !gone.contains(&s.alloc.id));
            return canaries;
        }
        desired.stop += gone.len() as u64;
        set.retain(|a| !gone.contains(&a.id));
        canaries
    }

    fn sort(
        &mut self,
        group: &Group,
        set: Vec<AllocRef<'a>>,
        stood_in: HashSet<AllocId>,
        desired: &mut DesiredUpdates,
    ) -> Sets<'a> {
        let mut sets = Sets { stood_in, ..Sets::default() };
        for alloc in set {
            match self.bucket(alloc) {
                Bucket::Untainted => self.sort_failed(group, alloc, &mut sets, desired),
                Bucket::Migrate => {
                    if self.input.batch && alloc.transition.reschedule == Some(true) {
                        sets.now.push(alloc);
                    } else {
                        sets.migrate.push(alloc);
                    }
                }
                Bucket::Lost | Bucket::Expiring => sets.lost.push(alloc),
                Bucket::Disconnecting => sets.disconnecting.push(alloc),
                Bucket::Reconnecting => sets.reconnecting.push(alloc),
                // A stop whose replacement found no node is tried again.
                Bucket::Ignore if !self.input.batch && last_failed(alloc) && alloc.next.is_none() => {
                    self.sort_failed(group, alloc, &mut sets, desired);
                }
                Bucket::Ignore if self.input.batch => self.sort_failed(group, alloc, &mut sets, desired),
                Bucket::Ignore => desired.ignore += 1,
            }
        }
        sets
    }

    /// Stays, or is replaced now or later because it failed.
    fn sort_failed(&mut self, group: &Group, alloc: AllocRef<'a>, sets: &mut Sets<'a>, desired: &mut DesiredUpdates) {
        if alloc.next.is_some() && alloc.terminal() {
            return;
        }
        match keep_or_consider(alloc, self.input.batch) {
            Look::Keep => return sets.untainted.push(alloc),
            Look::Drop => return desired.ignore += 1,
            // An evaluation that replaced it looks at it once more where it had more to place than one look may.
            Look::Consider if sets.stood_in.contains(&alloc.id) => return sets.untainted.push(alloc),
            Look::Consider => {}
        }
        match reschedule::when(alloc, group.reschedule.as_ref(), self.circumstances(group, alloc, false)) {
            When::Now => sets.now.push(alloc),
            When::Later(time) => {
                sets.later.push((time, alloc));
                sets.untainted.push(alloc);
            }
            When::Never => sets.untainted.push(alloc),
        }
    }

    fn circumstances(&self, group: &Group, alloc: &Allocation, disconnecting: bool) -> Circumstances {
        Circumstances {
            now: self.input.now,
            eval: self.input.eval.id,
            deployment: self.watching(),
            batch: self.input.batch,
            disconnecting,
            replace_disconnecting: group.disconnect.replace,
            awaited: alloc.followup_eval.is_some_and(|id| (self.input.is_open)(id)),
        }
    }

    /// Nodes went out of touch: their allocations are unknown, and replaced where the group wants that.
    fn disconnect(&mut self, group: &Group, sets: &mut Sets<'a>, desired: &mut DesiredUpdates) {
        let gone = std::mem::take(&mut sets.disconnecting);
        if gone.is_empty() {
            return;
        }
        let now = self.input.now;
        desired.disconnect += gone.len() as u64;
        for &alloc in &gone {
            match reschedule::when(alloc, group.reschedule.as_ref(), self.circumstances(group, alloc, true)) {
                _ if sets.stood_in.contains(&alloc.id) => sets.untainted.push(alloc),
                When::Now => sets.now.push(alloc),
                When::Later(time) => {
                    sets.later.push((time, alloc));
                    sets.untainted.push(alloc);
                }
                When::Never => sets.untainted.push(alloc),
            }
            let row = self.rewrite(alloc);
            row.client_status = ClientStatus::Unknown;
            row.client_description = text::UNKNOWN.into();
            row.client_states.push((ClientStatus::Unknown, now));
        }
        let lost_after = group.disconnect.lost_after;
        if lost_after.nanos() > 0 {
            let times = gone.iter().map(|alloc| (now + lost_after, *alloc)).collect();
            for (alloc, eval) in self.lost_later(times) {
                self.rewrite(alloc).followup_eval = Some(eval);
            }
        }
    }

    /// Lost ones stop. Says whether their clients have to stop them first, so that nothing is placed yet.
    fn stop_lost(&mut self, group: &Group, sets: &Sets<'a>, desired: &mut DesiredUpdates) -> bool {
        let wait = group.disconnect.stop_on_client_after;
        let mut times = Vec::new();
        if wait.nanos() > 0 {
            let when = |alloc: &Allocation| stopped_on_client(alloc, wait, group.longest_kill_timeout, self.input.now);
            let is_later = |(time, alloc): &(UnixNanos, AllocRef<'a>)| {
                *time > self.input.now && alloc.followup_eval != Some(self.input.eval.id)
            };
            times = sets.lost.iter().map(|alloc| (when(alloc), *alloc)).filter(is_later).collect();
        }
        let waiting = !times.is_empty();
        let tagged = self.stopped_later(times);
        for &alloc in &sets.lost {
            let followup = tagged.iter().find(|(a, _)| a.id == alloc.id).map(|(_, eval)| *eval);
            desired.stop += 1;
            let client_status = Some(ClientStatus::Lost);
            self.changes.stops.push(super::Stop { alloc, description: text::LOST, client_status, followup });
        }
        waiting
    }

    /// More run than were asked for: which go.
    fn stop_surplus(
        &mut self,
        group: &Group,
        sets: &mut Sets<'a>,
        canaries: &HashSet<AllocId>,
        canarying: bool,
        names: &mut Names,
        desired: &mut DesiredUpdates,
    ) {
        let on_trial = |a: &Allocation| canarying && canaries.contains(&a.id);
        let counts = |a: &Allocation| !on_trial(a) && a.client_status != ClientStatus::Unknown;
        let known = sets.untainted.iter().filter(|a| counts(a)).count();
        let mut surplus = (known + sets.migrate.len()).saturating_sub(group.count as usize);
        let mut gone: HashSet<AllocId> = HashSet::new();
        // Promoted canaries that run have the numbers of what they replace.
        let runs = |a: &Allocation| !a.client_terminal() && a.client_status != ClientStatus::Unknown;
        let promoted = |a: &AllocRef<'_>| !canarying && canaries.contains(&a.id) && runs(a);
        let taken: BTreeSet<u32> = sets.untainted.iter().filter(|a| promoted(a)).filter_map(|a| a.index()).collect();
        let displaced = |a: &Allocation| !canaries.contains(&a.id) && a.index().is_some_and(|i| taken.contains(&i));
        if !taken.is_empty() {
            let outdated = |a: &Allocation| displaced(a) && !self.is_this_version(a);
            gone.extend(sets.untainted.iter().filter(|a| counts(a) && outdated(a)).take(surplus).map(|a| a.id));
            surplus -= gone.len();
            // What is out of touch is none of the surplus; updated, it would become some.
            gone.extend(sets.untainted.iter().filter(|a| !counts(a) && outdated(a)).map(|a| a.id));
        }
        if surplus == 0 && gone.is_empty() {
            return;
        }
        let stays = |a: &AllocRef<'_>| counts(a) && !gone.contains(&a.id);
        let mut rest: Vec<AllocRef<'a>> = sets.untainted.iter().filter(|a| stays(a)).copied().collect();
        let had: BTreeSet<u32> = rest.iter().filter(|a| !a.client_terminal()).filter_map(|a| a.index()).collect();
        let had = |a: &Allocation| a.index().is_some_and(|i| had.contains(&i));
        // Of those that would move, first whose number another one has that stays; then the highest numbers.
        let high = names.highest(surplus);
        let mut moving: Vec<AllocRef<'a>> =
            sets.migrate.iter().filter(|a| had(a) || a.index().is_none_or(|i| high.contains(&i))).copied().collect();
        moving.sort_by_key(|a| (!had(a), std::cmp::Reverse(a.index())));
        moving.truncate(surplus);
        surplus -= moving.len();
        // The highest numbers first; where numbers are doubled, what failed or is older goes first.
        let doubled: HashSet<AllocId> = doubles(&rest);
        rest.sort_by_key(|a| (!displaced(a), !doubled.contains(&a.id), std::cmp::Reverse(a.index())));
        let left = rest.split_off(surplus.min(rest.len()));
        // None that runs goes while one that failed is counted, unless its number is not wanted any more.
        let mut failed = left.iter().filter(|a| !self.input.batch && a.client_terminal());
        for alloc in moving.iter().chain(&rest).rev() {
            let runs = !alloc.client_terminal() && alloc.index().is_some_and(|i| i < group.count);
            gone.insert(if runs { failed.next().unwrap_or(alloc) } else { alloc }.id);
        }
        for &alloc in sets.untainted.iter().chain(&sets.migrate).filter(|a| gone.contains(&a.id)) {
            if !alloc.terminal() {
                desired.stop += 1;
                self.changes.stops.push(super::Stop {
                    alloc,
                    description: text::NOT_NEEDED,
                    client_status: None,
                    followup: None,
                });
            }
            if let Some(index) = alloc.index() {
                names.release(index);
            }
        }
        sets.untainted.retain(|a| !gone.contains(&a.id));
        sets.migrate.retain(|a| !gone.contains(&a.id));
        sets.later.retain(|(_, a)| !gone.contains(&a.id));
    }

    /// Takes what must be replaced out of the untainted; gives how many are updated in place, and these.
    fn sort_updates(
        &mut self,
        group: &Group,
        sets: &mut Sets<'a>,
        desired: &mut DesiredUpdates,
    ) -> (usize, Vec<AllocRef<'a>>) {
        let Some(compiled) = self.input.job else { return (0, Vec::new()) };
        let job_index = compiled.job.job_modify_index;
        let (mut in_place, mut destructive) = (0, Vec::new());
        for &alloc in &sets.untainted {
            let same = std::sync::Arc::ptr_eq(&alloc.job, &compiled.job)
                || (alloc.job.job_modify_index == job_index && self.is_this_version(alloc));
            let update = if same { Update::Ignore } else { (self.decide)(alloc, group) };
            match update {
                // The one in its place is updated; back in touch, it is of a version that nobody wants.
                Update::Destructive if sets.stood_in.contains(&alloc.id) => desired.ignore += 1,
                Update::Ignore => desired.ignore += 1,
                Update::InPlace => {
                    in_place += 1;
                    self.changes.in_place.push(alloc);
                }
                Update::Destructive => destructive.push(alloc),
            }
        }
        desired.in_place_update += in_place as u64;
        (in_place, destructive)
    }

    /// How many allocations may be replaced in this pass.
    fn limit(&self, group: &Group, sets: &Sets<'a>, destructive: &[AllocRef<'a>], canarying: bool) -> usize {
        let Some(update) = group.update else { return group.count as usize };
        if destructive.is_empty() && sets.migrate.is_empty() {
            return group.count as usize;
        }
        let Some(current) = self.current else { return update.max_parallel as usize };
        if self.paused || self.failed || canarying {
            return 0;
        }
        let mut limit = update.max_parallel as usize;
        for alloc in sets.untainted.iter().filter(|a| a.deployment_id == Some(current.id)) {
            match alloc.deployment_status.and_then(|s| s.healthy) {
                Some(true) => {}
                Some(false) => return 0,
                None => limit = limit.saturating_sub(1),
            }
        }
        limit
    }

    /// Replacements of failed ones, of lost ones, then what is missing.
    /// What failed is not replaced where enough others run: what it would bring would go with the next look, if one came.
    fn keep_within_room(&self, group: &Group, sets: &mut Sets<'a>) {
        let there = sets.untainted.iter().filter(|a| !sets.stood_in.contains(&a.id)).count();
        let mut room = (group.count as usize).saturating_sub(there + sets.migrate.len());
        sets.now.retain(|alloc| {
            if self.is_canary(alloc) {
                return true;
            }
            let wanted = room > 0;
            room = room.saturating_sub(1);
            wanted
        });
    }

    /// Of the rollout that is under way.
    fn is_canary(&self, alloc: AllocRef<'_>) -> bool {
        alloc.deployment_status.is_some_and(|s| s.canary)
            && self.watching().is_some_and(|id| alloc.deployment_id == Some(id))
    }

    fn placements(
        &mut self,
        group: &Group,
        sets: &Sets<'a>,
        _destructive: usize,
        canarying: bool,
        names: &mut Names,
    ) -> Vec<Place<'a>> {
        let count = group.count as usize;
        let mut place = Vec::new();
        for &alloc in &sets.now {
            let canary = self.is_canary(alloc);
            let stops = alloc.client_status == ClientStatus::Failed || (self.input.batch && !alloc.server_terminal());
            let disconnecting =
                self.changes.rewrites.get(&alloc.id).is_some_and(|r| r.client_status == ClientStatus::Unknown);
            let wants_stop = stops && !disconnecting && alloc.client_status != ClientStatus::Unknown;
            place.push(Place {
                previous: Some(alloc),
                reschedule: true,
                canary,
                downgrade: canarying && !canary,
                stop_previous: wants_stop.then_some(text::RESCHEDULED),
                ..fresh(group, names.corrected(alloc.index().unwrap_or(0)))
            });
        }
        let mut existing = sets.untainted.len() + sets.migrate.len() + sets.now.len();
        for &alloc in &sets.lost {
            if existing >= count {
                break;
            }
            existing += 1;
            let index = names.corrected(alloc.index().unwrap_or(0));
            place.push(Place { previous: Some(alloc), lost: true, downgrade: canarying, ..fresh(group, index) });
        }
        if existing < count {
            for index in names.next(count - existing) {
                place.push(Place { downgrade: canarying, ..fresh(group, index) });
            }
        }
        place.truncate(count.max(sets.now.len()));
        place
    }

    /// Puts placements into the plan as the deployment allows; gives what is left of the limit.
    fn place_within(
        &mut self,
        _group: &Group,
        place: Vec<Place<'a>>,
        limit: usize,
        canarying: bool,
        _sets: &Sets<'a>,
        desired: &mut DesiredUpdates,
    ) -> usize {
        let failed_deployment = if self.failed { self.current.map(|d| d.id) } else { None };
        let ready = !self.paused && !self.failed && !canarying;
        let mut placed = 0;
        for place in place {
            let of_failed =
                place.previous.is_some_and(|p| p.deployment_id.is_some() && p.deployment_id == failed_deployment);
            // What was lost is replaced whatever the deployment does; so is what failed, unless that is why it failed.
            if !(ready || place.lost || (place.reschedule && !of_failed)) {
                continue;
            }
            placed += 1;
            desired.place += 1;
            if place.stop_previous.is_some() {
                desired.stop += 1;
            }
            self.changes.place.push(place);
        }
        limit.saturating_sub(placed)
    }

    fn replace(
        &mut self,
        group: &Group,
        destructive: &[AllocRef<'a>],
        limit: usize,
        names: &mut Names,
        desired: &mut DesiredUpdates,
    ) {
        let mut ordered = destructive.to_vec();
        ordered.sort_by_key(|a| a.index());
        for (i, alloc) in ordered.into_iter().enumerate() {
            if i >= limit {
                desired.ignore += 1;
                continue;
            }
            desired.destructive_update += 1;
            self.changes.destructive.push(Place {
                previous: Some(alloc),
                stop_previous: Some(text::UPDATING),
                ..fresh(group, names.corrected(alloc.index().unwrap_or(0)))
            });
        }
    }

    fn migrate(&mut self, group: &Group, sets: &Sets<'a>, canarying: bool, desired: &mut DesiredUpdates) {
        for &alloc in &sets.migrate {
            desired.migrate += 1;
            self.stop(alloc, text::MIGRATING, None);
            let DesiredTransition { migrate_disable_placement, .. } = alloc.transition;
            // What was drained of an older version says nothing of the work of this one.
            if migrate_disable_placement == Some(true) && self.is_this_version(alloc) {
                continue;
            }
            let canary = self.is_canary(alloc);
            let index = alloc.index().unwrap_or(0);
            self.changes.place.push(Place {
                previous: Some(alloc),
                canary,
                downgrade: canarying && !canary,
                ..fresh(group, index)
            });
        }
    }
}

enum Look {
    Keep,
    Drop,
    Consider,
}

/// Does it count as it is, not at all, or does its failure have to be looked at?
fn keep_or_consider(alloc: &Allocation, batch: bool) -> Look {
    if batch {
        return match alloc.desired_status {
            _ if alloc.transition.migrate_disable_placement == Some(true) => Look::Keep,
            _ if alloc.transition.reschedule == Some(true) => Look::Consider,
            DesiredStatus::Stop if alloc.ran_successfully() => Look::Keep,
            DesiredStatus::Stop if last_failed(alloc) => Look::Consider,
            DesiredStatus::Stop | DesiredStatus::Evict => Look::Drop,
            DesiredStatus::Run if alloc.client_status == ClientStatus::Failed => Look::Consider,
            // A finished one did what it was for.
            DesiredStatus::Run => Look::Keep,
        };
    }
    match alloc.desired_status {
        DesiredStatus::Stop | DesiredStatus::Evict => {
            if last_failed(alloc) {
                Look::Consider
            } else {
                Look::Drop
            }
        }
        DesiredStatus::Run if matches!(alloc.client_status, ClientStatus::Complete | ClientStatus::Lost) => Look::Drop,
        DesiredStatus::Run => Look::Consider,
    }
}

fn fresh<'a>(group: &Group, index: u32) -> Place<'a> {
    Place {
        group: group.index,
        index,
        previous: None,
        reschedule: false,
        lost: false,
        canary: false,
        downgrade: false,
        stop_previous: None,
    }
}

/// Those out of touch, or just back, that another one stands in for: what came after them is wanted still, and not over.
fn stood_in(all: &[AllocRef<'_>]) -> HashSet<AllocId> {
    let away = |a: &Allocation| a.client_status == ClientStatus::Unknown || needs_reconnect(a);
    let away: Vec<AllocRef<'_>> = all.iter().filter(|a| a.next.is_some() && away(a)).copied().collect();
    if away.is_empty() {
        return HashSet::new();
    }
    let by_id: HashMap<AllocId, AllocRef<'_>> = all.iter().map(|a| (a.id, *a)).collect();
    let over = |a: &Allocation| matches!(a.client_status, ClientStatus::Complete | ClientStatus::Lost);
    let after = |a: AllocRef<'_>| a.next.and_then(|id| by_id.get(&id)).copied();
    let has_one = |a: &AllocRef<'_>| {
        let mut chain = std::iter::successors(after(a), |a| after(a)).take(all.len());
        chain.any(|a| !a.server_terminal() && !over(a))
    };
    away.into_iter().filter(has_one).map(|a| a.id).collect()
}

fn group_done(state: &DeploymentGroup) -> bool {
    state.healthy_allocs >= state.desired_total.max(state.desired_canaries)
        && (state.desired_canaries == 0 || state.promoted)
}

/// Of allocations that share a number, all but the one to keep: the running, newest one.
fn doubles(allocs: &[AllocRef<'_>]) -> HashSet<AllocId> {
    let mut best: std::collections::BTreeMap<Option<u32>, AllocRef<'_>> = std::collections::BTreeMap::new();
    let rank = |a: &Allocation| (!a.client_terminal(), a.create_index, a.id);
    let mut doubled = HashSet::new();
    for &alloc in allocs {
        match best.insert(alloc.index(), alloc) {
            Some(other) if rank(other) > rank(alloc) => {
                best.insert(alloc.index(), other);
                doubled.insert(alloc.id);
            }
            Some(other) => drop(doubled.insert(other.id)),
            None => {}
        }
    }
    doubled
}
