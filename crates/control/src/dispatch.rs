//! Dispatched children of parameterized jobs.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use tarpan_model::ids::{EvalId, IdSource, NamespacedId};
use tarpan_model::job::ParameterizedJobConfig;
use tarpan_model::name::{self, MAX_LABEL};
use tarpan_model::{Evaluation, Job, Trigger, UnixNanos};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, Guard, State};

use crate::periodic::derived;

/// What a caller hands to a parameterized job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DispatchRequest {
    /// Raw bytes; empty when none was given.
    pub payload: Vec<u8>,
    pub meta: BTreeMap<String, String>,
    pub id_prefix_template: String,
    /// 0: the parent's.
    pub priority: i64,
    pub idempotency_token: String,
}

/// What a dispatch comes to.
#[derive(Clone, Debug)]
pub enum Dispatch {
    Register(Box<RegisterJob>),
    /// A child with the same idempotency token exists.
    Exists(NamespacedId),
}

/// Why a dispatch was refused; texts are the wire's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    #[error("parameterized job not found")]
    NotFound,
    #[error("Specified job \"{0}\" is not a parameterized job")]
    NotParameterized(String),
    #[error("Specified job \"{0}\" is stopped")]
    Stopped(String),
    #[error("Payload is not provided but required by parameterized job")]
    PayloadMissing,
    #[error("Payload provided but forbidden by parameterized job")]
    PayloadForbidden,
    #[error("Payload exceeds maximum size; {0} > {max}", max = MAX_PAYLOAD)]
    PayloadTooLarge(usize),
    #[error("Dispatch request included unpermitted metadata keys: [{}]", .0.join(" "))]
    UnpermittedMeta(Vec<String>),
    #[error("Dispatch did not provide required meta keys: [{}]", .0.join(" "))]
    MissingMeta(Vec<String>),
    #[error("dispatch job priority must be between [1, {0}]")]
    Priority(i64),
    #[error("{what} {} {wrong}", name::quoted(.text))]
    Name { what: &'static str, text: String, wrong: name::NameError },
    #[error("The value of the metadata key {} cannot include a null character", name::quoted(.0))]
    MetaValue(String),
}

/// Bytes.
pub const MAX_PAYLOAD: usize = 16_384;
const MAX_PRIORITY: i64 = 100;

/// The child to register, its id ending in eight hex digits of a fresh id.
///
/// The payload travels in the job as base64 of the bytes as they were given.
/// Source: `reference/semantics.md` §9, "Dispatch".
pub fn dispatch(
    state: &State,
    parent: &NamespacedId,
    request: &DispatchRequest,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Dispatch, DispatchError> {
    let job = state.job(parent).ok_or(DispatchError::NotFound)?;
    let Some(rules) = job.parameterized_job.as_ref().filter(|_| job.is_parameterized()) else {
        return Err(DispatchError::NotParameterized(job.id().to_owned()));
    };
    if job.stopped() {
        return Err(DispatchError::Stopped(job.id().to_owned()));
    }
    check(rules, request)?;
    if let Some(known) = state.dispatched_with(parent, &request.idempotency_token) {
        return Ok(Dispatch::Exists(known.key()));
    }
    let child = child(job, request, now, ids);
    // A child that is periodic itself is launched by the clock.
    let eval =
        (!child.is_periodic()).then(|| Evaluation::for_job(EvalId(ids.next_uuid()), &child, Trigger::JobRegister, now));
    Ok(Dispatch::Register(Box::new(RegisterJob::of(child, eval, now))))
}

/// The command that launches `child`, as long as what was looked at stays: one child a token, of the parent as it was; and as
/// long as `guards` hold.
pub fn launch(
    state: &State,
    parent: &NamespacedId,
    token: &str,
    child: Box<RegisterJob>,
    mut guards: Vec<Guard>,
) -> Command {
    let token = Guard::Token { parent: parent.clone(), token: token.to_owned() };
    guards.extend([Guard::job(state, parent), token]);
    Command::RegisterJob(child).guarded(guards)
}

fn check(rules: &ParameterizedJobConfig, request: &DispatchRequest) -> Result<(), DispatchError> {
    match (rules.payload.as_deref(), request.payload.is_empty()) {
        (Some("required"), true) => return Err(DispatchError::PayloadMissing),
        (Some("forbidden"), false) => return Err(DispatchError::PayloadForbidden),
        _ => {}
    }
    if request.payload.len() > MAX_PAYLOAD {
        return Err(DispatchError::PayloadTooLarge(request.payload.len()));
    }
    let (required, optional) = (rules.meta_required.as_deref(), rules.meta_optional.as_deref());
    let known = |key: &&String| [required, optional].into_iter().flatten().flatten().any(|k| k == *key);
    let unpermitted: Vec<String> = request.meta.keys().filter(|key| !known(key)).cloned().collect();
    if !unpermitted.is_empty() {
        return Err(DispatchError::UnpermittedMeta(unpermitted));
    }
    let given = |key: &&String| request.meta.contains_key(*key);
    let missing: Vec<String> = required.into_iter().flatten().filter(|key| !given(key)).cloned().collect();
    if !missing.is_empty() {
        return Err(DispatchError::MissingMeta(missing));
    }
    if request.priority != 0 && !(1..=MAX_PRIORITY).contains(&request.priority) {
        return Err(DispatchError::Priority(MAX_PRIORITY));
    }
    names(request)
}

/// What becomes part of the child's id, or a variable of its tasks.
fn names(request: &DispatchRequest) -> Result<(), DispatchError> {
    let texts =
        [("ID prefix template", &request.id_prefix_template), ("Idempotency token", &request.idempotency_token)];
    for (what, text) in texts {
        let named = |wrong| DispatchError::Name { what, text: text.clone(), wrong };
        name::address(text, MAX_LABEL).map_err(named)?;
    }
    match request.meta.iter().find(|(_, value)| value.contains('\0')) {
        Some((key, _)) => Err(DispatchError::MetaValue(key.clone())),
        None => Ok(()),
    }
}

fn child(parent: &Job, request: &DispatchRequest, now: UnixNanos, ids: &mut dyn IdSource) -> Job {
    let unique = EvalId(ids.next_uuid()).short();
    let prefix = match request.id_prefix_template.as_str() {
        "" => String::new(),
        template => format!("{template}-"),
    };
    let id = format!("{}/dispatch-{prefix}{}-{unique}", parent.id(), now.secs());
    let mut meta = parent.meta.clone().unwrap_or_default();
    meta.extend(request.meta.clone());
    Job {
        meta: Some(meta),
        dispatched: Some(true),
        dispatch_idempotency_token: (!request.idempotency_token.is_empty()).then(|| request.idempotency_token.clone()),
        payload: (!request.payload.is_empty()).then(|| BASE64.encode(&request.payload)),
        priority: if request.priority == 0 { parent.priority } else { Some(request.priority) },
        ..derived(parent, id, now)
    }
}

#[cfg(test)]
mod tests {
    use tarpan_model::ids::CountingIds;
    use tarpan_state::{Command, CommandId, Envelope};
    use tarpan_testkit::{at, jobs};

    use super::*;

    fn state(job: Job) -> State {
        let mut state = State::default();
        let command = RegisterJob::of(job, None, at(0));
        apply(&mut state, command);
        state
    }

    fn apply(state: &mut State, command: RegisterJob) {
        let id = CommandId(state.index().into());
        let command = Command::RegisterJob(Box::new(command));
        state.apply(state.index() + 1, &[Envelope { id, command }]);
    }

    fn request(meta: &[(&str, &str)]) -> DispatchRequest {
        let meta = meta.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        DispatchRequest { meta, ..DispatchRequest::default() }
    }

    fn run(state: &State, request: &DispatchRequest) -> Result<Dispatch, DispatchError> {
        dispatch(state, &NamespacedId::new("default", "setup"), request, at(7), &mut CountingIds(0xABCD << 112))
    }

    #[test]
    fn a_child_carries_parent_meta_and_payload() {
        let mut parent = jobs::parameterized("setup", &["budget"]);
        parent.meta = Some([("team".to_owned(), "a".to_owned())].into());
        let state = state(parent);
        let asked = DispatchRequest { payload: b"hello".to_vec(), priority: 70, ..request(&[("budget", "200")]) };
        let Ok(Dispatch::Register(register)) = run(&state, &asked) else { panic!("not registered") };
        let job = &register.job;
        assert_eq!(job.id(), format!("setup/dispatch-{}-abcd0000", at(7).secs()));
        assert_eq!(job.parent_id.as_deref(), Some("setup"));
        assert_eq!((job.dispatched, job.priority()), (Some(true), 70));
        assert_eq!(job.payload.as_deref(), Some("aGVsbG8="));
        let meta = job.meta.as_ref().unwrap();
        assert_eq!((meta["team"].as_str(), meta["budget"].as_str()), ("a", "200"));
        assert_eq!(register.eval.as_ref().unwrap().job_id.as_str(), job.id());
        assert!(!job.is_parameterized());
    }

    #[test]
    fn refusals_have_the_fields_texts() {
        let mut parent = jobs::parameterized("setup", &["budget"]);
        parent.parameterized_job.as_mut().unwrap().payload = Some("forbidden".to_owned());
        let parameterized = state(parent);
        let plain = state(jobs::batch("setup", 1));
        let payload = |bytes: &[u8]| DispatchRequest { payload: bytes.to_vec(), ..request(&[("budget", "1")]) };
        for (state, request, text) in [
            (&State::default(), request(&[]), "parameterized job not found"),
            (&plain, request(&[]), "Specified job \"setup\" is not a parameterized job"),
            (&parameterized, request(&[]), "Dispatch did not provide required meta keys: [budget]"),
            (
                &parameterized,
                request(&[("budget", "1"), ("x", "1"), ("y", "1")]),
                "Dispatch request included unpermitted metadata keys: [x y]",
            ),
            (&parameterized, payload(b"x"), "Payload provided but forbidden by parameterized job"),
            (
                &parameterized,
                DispatchRequest { priority: 101, ..request(&[("budget", "1")]) },
                "dispatch job priority must be between [1, 100]",
            ),
            (
                &parameterized,
                DispatchRequest { id_prefix_template: "a\r\nb".into(), ..request(&[("budget", "1")]) },
                "ID prefix template \"a\\r\\nb\" cannot include the control character U+000D",
            ),
            (
                &parameterized,
                DispatchRequest { idempotency_token: "t".repeat(256), ..request(&[("budget", "1")]) },
                &format!("Idempotency token \"{}…\" is 256 bytes long; 255 are the most", "t".repeat(60)),
            ),
            (
                &parameterized,
                request(&[("budget", "1\0")]),
                "The value of the metadata key \"budget\" cannot include a null character",
            ),
        ] {
            assert_eq!(run(state, &request).unwrap_err().to_string(), text);
        }
        let optional = state(jobs::parameterized("setup", &[]));
        let large = DispatchRequest { payload: vec![0; 16_385], ..request(&[]) };
        assert_eq!(run(&optional, &large).unwrap_err().to_string(), "Payload exceeds maximum size; 16385 > 16384");
    }

    #[test]
    fn the_same_token_finds_the_same_child() {
        let mut state = state(jobs::parameterized("setup", &[]));
        let asked = DispatchRequest { idempotency_token: "once".to_owned(), ..request(&[]) };
        let Ok(Dispatch::Register(register)) = run(&state, &asked) else { panic!("not registered") };
        let key = register.job.key();
        apply(&mut state, *register);
        assert!(matches!(run(&state, &asked), Ok(Dispatch::Exists(known)) if known == key));
    }
}
