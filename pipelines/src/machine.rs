//! Where a stage runs that asks for a machine of a kind.

use crate::{
    Machine, Setting,
    nearest::{did_you_mean, listed},
};

/// The machine for labels. Labels that name none are the runner's own.
pub(crate) fn machine(
    labels: &[String],
    group: Option<&str>,
    has_image: bool,
    setting: Setting<'_>,
) -> Result<Machine, String> {
    let configured = |label: &str| {
        setting.machines.iter().find(|(name, _)| name.eq_ignore_ascii_case(label)).map(|(_, machine)| machine)
    };
    let own = labels.iter().any(|label| label.eq_ignore_ascii_case("self-hosted"));
    let asked: Vec<&str> = labels.iter().map(String::as_str).chain(group).collect();
    let found = asked.iter().find_map(|label| configured(label));
    if found.is_none() && !has_image {
        let Some(first) = asked.first() else { return Err("there is no label at all".to_owned()) };
        let help =
            did_you_mean(first, setting.machines.keys().map(String::as_str)).unwrap_or_else(|| match setting
                .machines
                .is_empty()
            {
                true => "no machine is configured at all".to_owned(),
                false => format!("configured are {}", listed(setting.machines.keys().map(String::as_str))),
            });
        return Err(format!(
            "no machine is configured for {}: give it an image in the setting `machines`, or the job a `container`; {help}",
            listed(asked)
        ));
    }
    let mut runner_labels: Vec<String> = found.map(|machine| machine.labels.clone()).unwrap_or_default();
    let others = asked
        .iter()
        .filter(|label| configured(label).is_none() && !label.eq_ignore_ascii_case("self-hosted"));
    // Without a machine of its own a hosted label says only where GitHub would have run the container.
    if own || found.is_some() || group.is_some() {
        for label in others {
            if !runner_labels.iter().any(|known| known == label) {
                runner_labels.push((*label).to_owned());
            }
        }
    }
    Ok(Machine {
        image: found.map(|machine| machine.image.clone()).unwrap_or_default(),
        labels: runner_labels,
    })
}
