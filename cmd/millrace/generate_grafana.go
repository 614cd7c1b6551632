package main

import (
	"bytes"
	"encoding/json"
)

// dashboard is a page of Grafana.
type dashboard struct {
	uid         string
	title       string
	description string
	variables   []dashboardVariable
	rows        []dashboardRow
}

// dashboardVariable is a choice at the top of a dashboard: the values that a label of a metric has.
type dashboardVariable struct{ name, label, metric string }

type dashboardRow struct {
	title  string
	panels []panel
}

// panel is one graph, or one number.
type panel struct {
	title       string
	description string
	kind        string // "timeseries" or "stat"
	unit        string // Grafana's name of it
	width       int    // of panelColumns
	queries     []query
}

// query is an expression of PromQL, and what a series of it is called.
type query struct{ expression, legend string }

const (
	panelColumns    = 24
	panelRows       = 8 // height of a graph
	statRows        = 4 // and of a number
	dashboardSchema = 39
)

// object is a JSON object.
type object = map[string]any

// json returns the dashboard as Grafana imports it.
func (d *dashboard) json() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(object{
		"uid": d.uid, "title": d.title, "description": d.description, "tags": []string{"millrace", "kafka"},
		"editable": true, "graphTooltip": 1, "schemaVersion": dashboardSchema, "version": 1, "refresh": "30s",
		"time": object{"from": "now-1h", "to": "now"}, "timezone": "browser",
		"templating": object{"list": d.choices()}, "panels": d.panels(), "annotations": object{"list": []any{}}, "links": []any{},
	})
	return out.Bytes(), err
}

// dataSource is the data source that was chosen at the top.
var dataSource = object{"type": "prometheus", "uid": "${datasource}"}

func (d *dashboard) choices() []object {
	choices := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}}
	for _, v := range d.variables {
		expression := "label_values(" + v.metric + ", " + v.name + ")"
		choices = append(choices, object{
			"name": v.name, "label": v.label, "type": "query", "datasource": dataSource, "definition": expression,
			"query": object{"query": expression, "refId": v.name}, "refresh": 2, "sort": 1,
			"multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"},
		})
	}
	return choices
}

// panels places the panels of each row from left to right.
func (d *dashboard) panels() []object {
	var placed []object
	id, y := 0, 0
	place := func(o object, x, width, height int) {
		id++
		o["id"], o["gridPos"] = id, object{"x": x, "y": y, "w": width, "h": height}
		placed = append(placed, o)
	}
	for _, row := range d.rows {
		place(object{"type": "row", "title": row.title, "collapsed": false, "panels": []any{}}, 0, panelColumns, 1)
		y++
		x, height := 0, 0
		for _, p := range row.panels {
			if x+p.width > panelColumns {
				x, y = 0, y+height
			}
			height = p.height()
			place(p.object(), x, p.width, height)
			x += p.width
		}
		y += height
	}
	return placed
}

func (p *panel) height() int {
	if p.kind == "stat" {
		return statRows
	}
	return panelRows
}

func (p *panel) object() object {
	var targets []object
	for i, q := range p.queries {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "datasource": dataSource, "expr": q.expression, "legendFormat": q.legend, "range": true,
		})
	}
	o := object{"type": p.kind, "title": p.title, "description": p.description, "datasource": dataSource, "targets": targets}
	custom := object{"fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}
	switch p.kind {
	case "stat":
		custom = object{}
		o["options"] = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}, "colorMode": "none", "graphMode": "area"}
	default:
		o["options"] = object{
			"legend":  object{"displayMode": "table", "placement": "bottom", "calcs": []string{"lastNotNull", "max"}},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
	}
	o["fieldConfig"] = object{"defaults": object{"unit": p.unit, "min": 0, "custom": custom}, "overrides": []any{}}
	return o
}
